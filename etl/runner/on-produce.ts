import type { Logger } from '../../core/base/logger.ts';
import type { Metrics } from '../../core/base/metrics.ts';
import type { StepPlan } from '../definition/plan.ts';
import type { ChainSpec, ChainStep, Lane, Sandbox, StoredModule, TaskResult } from '../sandbox/sandbox.ts';

/** Before it is stored a record cannot become a dead letter: that would store what must not be stored. */
export type ProducePolicy = 'stop' | 'drop';

export interface ProducedTopicOptions {
  topic: string;
  plan: { steps: StepPlan[] };
  /** plan.steps with their modules; `onError` is `stop` (the producer is told) or `drop`. */
  steps: readonly ChainStep[];
  /** As a pipeline that runs has it (server/modules/live-modules.ts). */
  unfit: (module: StoredModule) => string | null;
  sandbox: Sandbox;
  logger: Logger;
  metrics: Metrics;
}

/** What has become of a batch; the broker's port has the same shape (core/broker/on-produce.ts). */
type Screened = { batch: Uint8Array } | { refused: { index: number; reason: string }[]; isCorrupt: boolean };

const UNREADABLE = 'CORRUPT_BATCH';

/** The modules that one topic's records pass before they are stored: a lane for each partition, in the workers of all. */
export class ProducedTopic {
  readonly topic: string;
  readonly title: string;
  readonly plan: { steps: StepPlan[] };
  readonly unfit: (module: StoredModule) => string | null;
  private readonly options: ProducedTopicOptions;
  private steps: readonly ChainStep[];
  /** By partition. */
  private readonly lanes = new Map<number, { topicId: string; lane: Lane }>();

  constructor(options: ProducedTopicOptions) {
    this.options = options;
    this.topic = options.topic;
    this.title = `topic \`${options.topic}\``;
    this.unfit = options.unfit;
    this.plan = options.plan;
    this.steps = options.steps;
  }

  /** The steps with the modules that do their work. */
  get chain(): readonly ChainStep[] {
    return this.steps;
  }

  /** Whether these could do the work. Kind `invalid`: why not. */
  async tryOut(steps: readonly ChainStep[]): Promise<void> {
    await this.options.sandbox.probe(this.spec('0'.repeat(32), 0, steps));
  }

  /** From the next batch on these do the work; resolves when no others do. */
  async switchTo(steps: readonly ChainStep[]): Promise<void> {
    this.steps = steps;
    await this.close();
  }

  /** Several may be under way. Rejects with kind `invalid` or `internal` when the modules cannot run: nothing is stored then. */
  async screen(topicId: string, partition: number, batch: Uint8Array): Promise<Screened> {
    // The worker gets a buffer of its own: this one may be part of a request.
    const batches = Uint8Array.from(batch);
    const lane = this.laneOf(topicId, partition);
    let result: TaskResult;
    try {
      result = await lane.run({ batches, from: 0, samples: 0 });
    } catch (error) {
      // What has failed once does not go on; the next batch begins with a lane of its own.
      if (this.lanes.get(partition)?.lane === lane) this.lanes.delete(partition);
      void lane.close();
      throw error;
    }
    return this.outcome(result);
  }

  /** Runs what is under way. */
  async close(): Promise<void> {
    const lanes = [...this.lanes.values()];
    this.lanes.clear();
    await Promise.all(lanes.map(({ lane }) => lane.close()));
  }

  private laneOf(topicId: string, partition: number): Lane {
    const found = this.lanes.get(partition);
    if (found?.topicId === topicId) return found.lane;
    // The topic was deleted and made anew.
    void found?.lane.close();
    const lane = this.options.sandbox.openLane(this.spec(topicId, partition, this.steps));
    this.lanes.set(partition, { topicId, lane });
    return lane;
  }

  private outcome({ outputs, dead, steps }: TaskResult): Screened {
    const letters = dead?.letters ?? [];
    steps.forEach((counts, i) => this.count(i, counts));
    const [output] = outputs;
    if (letters.length === 0 && output) return { batch: output.batch };
    const refused = letters.map(({ step, offset, code, reason }) => {
      return { index: offset, reason: `${step}: ${code}: ${reason}` };
    });
    return { refused, isCorrupt: letters.some(({ code }) => code === UNREADABLE) };
  }

  private count(step: number, counts: TaskResult['steps'][number]): void {
    const { topic, metrics } = this.options;
    const outcomes = { emitted: counts.emitted, dropped: counts.dropped, refused: counts.dead };
    for (const [outcome, records] of Object.entries(outcomes)) {
      if (records === 0) continue;
      const labels = { topic, step: this.steps[step]?.name ?? '', outcome };
      metrics
        .counter(
          'millstream_on_produce_records_total',
          'Records that a module was given before they were stored',
          labels,
        )
        .add(records);
    }
  }

  private spec(topicId: string, partition: number, steps: readonly ChainStep[]): ChainSpec {
    const { topic, logger } = this.options;
    return {
      // Names the chain in logs.
      pipeline: topic,
      // What `stop` tells the producer the worker hands back like dead letters, all of a batch.
      steps: steps.map(step => ({ ...step, onError: step.onError === 'drop' ? 'drop' : 'dead_letter' })),
      outputs: [{ name: 'default', topic, rehashPartitions: null, codec: 'none' }],
      source: { topic, topicId, partition },
      beforeStored: true,
      onLine: ({ step, line }) => logger.debug(line, { topic, step }),
    };
  }
}
