import type { Clock } from '../core/base/clock.ts';
import type { Disk } from '../core/base/disk.ts';
import { MillstreamError } from '../core/base/errors.ts';
import type { Logger } from '../core/base/logger.ts';
import type { Metrics } from '../core/base/metrics.ts';
import type { Random } from '../core/base/random.ts';
import type { Engine } from '../core/engine/engine.ts';
import { sinkReplayTopic } from '../core/engine/replay.ts';
import type { ConnectorContext, SinkConnector, SourceConnector } from '../connectors/runtime/contract.ts';
import type { BacklogWatch } from './backlog.ts';
import { startDeadLetterDrain } from '../connectors/runtime/dead-letter-drain.ts';
import { type RunningSink, startSink } from '../connectors/runtime/sink-runtime.ts';
import { type RunningSource, startSource } from '../connectors/runtime/source-runtime.ts';
import { deadLetterSpec, type PipelinePlan, type SinkPlan } from '../etl/definition/plan.ts';
import { PipelineRunner } from '../etl/runner/pipeline-runner.ts';
import type { ModuleLogs } from '../etl/runner/module-logs.ts';
import type { ShadowPlan } from '../etl/runner/shadow.ts';
import type { Tap } from '../etl/runner/tap.ts';
import { keyOf } from '../etl/runner/totals.ts';
import type { ChainStep, Sandbox } from '../etl/sandbox/sandbox.ts';
import type { PipelineStatus, SinkStatusLine } from './pipeline-status.ts';

export interface PipelineParts {
  plan: PipelinePlan;
  /** The plan's steps with their modules. */
  steps: ChainStep[];
  /** What is tried beside them; left out: nothing. */
  shadows?: readonly ShadowPlan[];
  shadowSandbox?: () => Sandbox;
  engine: Engine;
  sandbox: Sandbox;
  sinkTypes: Map<string, SinkConnector>;
  sourceTypes: Map<string, SourceConnector>;
  taskRecords: number;
  /** Relative paths in connector tables start here. */
  baseDirectory: string;
  /** As ConnectorContext has it. */
  place?: string;
  clock: Clock;
  random: Random;
  disk: Disk;
  logger: Logger;
  metrics: Metrics;
  /** Left out: nothing is ever too far behind. */
  backlog?: Pick<BacklogWatch, 'holds' | 'isDetached'>;
  /** How many records a topic holds. */
  stored: (topic: string) => number;
}

/** One declared pipeline at work: source -> steps -> sinks, and the drain of its dead letters. */
export class Pipeline {
  readonly name: string;
  readonly plan: PipelinePlan;
  private readonly parts: PipelineParts;
  private steps: readonly ChainStep[];
  private readonly runner: PipelineRunner | null;
  private readonly sinks = new Map<string, RunningSink>();
  private source: RunningSource | null = null;
  private drain: RunningSink | null = null;
  private failed: string | null = null;
  private starting: Promise<void> = Promise.resolve();
  private readonly stopping = new AbortController();

  constructor(parts: PipelineParts) {
    const { plan } = parts;
    this.name = plan.name;
    this.plan = plan;
    this.parts = parts;
    this.steps = parts.steps;
    this.runner =
      plan.steps.length > 0
        ? new PipelineRunner({ ...parts, held: () => parts.backlog?.holds(plan.name) ?? null })
        : null;
  }

  get tap(): Tap | null {
    return this.runner?.tap ?? null;
  }

  get logs(): ModuleLogs | null {
    return this.runner?.logs ?? null;
  }

  /** A pipeline that cannot start says why and hinders no other. */
  start(): Promise<void> {
    this.starting = this.begin();
    return this.starting;
  }

  /** Sinks before the source, so that nothing waits. */
  private async begin(): Promise<void> {
    const { plan, engine, logger } = this.parts;
    const { signal } = this.stopping;
    if (signal.aborted) return;
    try {
      if (this.runner) await this.runner.start(signal);
      else {
        const source = await engine.ensureTopic({ name: plan.source.topic }, signal);
        await engine.ensureTopic(deadLetterSpec(plan.deadLetterTopic, source.partitions), signal);
      }
      if (signal.aborted) return;
      for (const sink of plan.sinks) this.sinks.set(sink.name, this.startSink(sink));
      if (plan.deadLetter) this.drain = this.startDrain(plan.deadLetter);
      if (plan.source.connector) this.source = this.startSource(plan.source.connector);
    } catch (error) {
      if (signal.aborted) return;
      this.failed = error instanceof MillstreamError ? error.message : String(error);
      logger.error('the pipeline does not start', { pipeline: this.name, error });
    }
  }

  get title(): string {
    return `pipeline \`${this.name}\``;
  }

  /** The steps with the modules that do their work. */
  get chain(): readonly ChainStep[] {
    return this.steps;
  }

  /** Whether these could do the steps' work. Kind `invalid`: why not. */
  async tryOut(steps: readonly ChainStep[]): Promise<void> {
    await this.starting;
    await this.runner?.tryOut(steps);
  }

  /** From the next commit of each partition on they do: resolves then. One that did not start tries again with them. */
  async switchTo(steps: readonly ChainStep[]): Promise<void> {
    await this.starting;
    await this.runner?.switchTo(steps);
    this.steps = steps;
    if (this.failed === null) return;
    this.failed = null;
    await this.start();
  }

  /** In the direction of the flow: what was read is written, and what was written is committed. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.starting;
    await this.source?.stop();
    await this.runner?.stop();
    await Promise.all([...this.sinks.values()].map(sink => sink.stop()));
    await this.drain?.stop();
  }

  status(): PipelineStatus {
    const { steps } = this;
    const { plan, stored } = this.parts;
    const sinks = plan.sinks.map(({ name, connector, from }) =>
      withDetachment(
        sinkLine({ name, type: connector.type, from }, this.sinks.get(name), this.failed),
        this.parts.backlog?.isDetached(plan.name, name) ?? null,
      ),
    );
    const drain = this.drain
      ? sinkLine({ name: 'dead letters', type: plan.deadLetter?.type ?? '', from: plan.deadLetterTopic }, this.drain)
      : null;
    const source = this.source?.status();
    // Without steps the sinks read the source topic themselves.
    const run = this.runner?.status() ?? { state: 'running', reason: null, lag: Math.max(0, ...sinks.map(s => s.lag)) };
    const trouble = troubleOf([
      ...(source ? [{ name: 'the source', ...source }] : []),
      ...sinks,
      ...(drain ? [drain] : []),
    ]);
    const counts = this.runner?.counts;
    const totals = this.runner?.totals();
    const rejected = sinks.reduce((sum, sink) => sum + sink.rejected, 0) + (source?.counts.rejected ?? 0);
    return {
      name: plan.name,
      state: this.failed ? 'failed' : run.state === 'running' && trouble ? 'degraded' : run.state,
      reason: this.failed ?? run.reason ?? trouble,
      source: {
        topic: plan.source.topic,
        total: source ? source.total : stored(plan.source.topic),
        connector: source
          ? {
              type: plan.source.connector?.type ?? '',
              state: source.state,
              reason: source.reason,
              read: source.counts.read,
              rejected: source.counts.rejected,
            }
          : null,
      },
      records: counts?.in ?? sinks[0]?.in ?? 0,
      lag: run.lag,
      steps: (counts?.steps ?? []).map((step, i) => ({
        ...step,
        module: steps[i]?.module.name ?? '',
        version: steps[i]?.module.version ?? '',
        sha256: steps[i]?.module.sha256 ?? '',
        shadow: this.runner?.shadows.find(shadow => shadow.plan.step === i)?.report ?? null,
      })),
      outputs:
        plan.steps.length === 0
          ? []
          : plan.outputs.map(({ name, topic }) => ({
              name,
              topic,
              records: counts?.outputs[name] ?? 0,
              total: totals?.outputs[keyOf(name)] ?? 0,
            })),
      sinks,
      deadLetters: {
        topic: plan.deadLetterTopic,
        records: (counts?.dead ?? 0) + rejected,
        total: (totals?.letters ?? 0) + rejected,
        last: counts?.lastDeadLetter ?? null,
        drain,
      },
      samples: plan.steps.flatMap(step => this.tap?.latest.get(step.name) ?? []),
    };
  }

  private startSink(plan: SinkPlan): RunningSink {
    return startSink({
      ...this.common(plan.name),
      plan: {
        ...plan,
        pipeline: this.name,
        deadLetterTopic: this.plan.deadLetterTopic,
        replayTopic: sinkReplayTopic(this.name, plan.name),
      },
      connector: typed(this.parts.sinkTypes, plan.connector.type),
      config: plan.connector.config,
    });
  }

  private startDrain(plan: NonNullable<PipelinePlan['deadLetter']>): RunningSink {
    return startDeadLetterDrain({
      ...this.common('dead_letter'),
      pipeline: this.name,
      topic: this.plan.deadLetterTopic,
      connector: typed(this.parts.sinkTypes, plan.type),
      config: plan.config,
    });
  }

  private startSource(plan: NonNullable<PipelinePlan['source']['connector']>): RunningSource {
    return startSource({
      ...this.common('source'),
      plan: { pipeline: this.name, topic: this.plan.source.topic, deadLetterTopic: this.plan.deadLetterTopic },
      connector: typed(this.parts.sourceTypes, plan.type),
      config: plan.config,
    });
  }

  private common(name: string) {
    const { engine, clock, random, disk, logger, metrics, baseDirectory, place } = this.parts;
    const where = { baseDirectory, ...(place !== undefined && { place }) };
    const context: ConnectorContext = { pipeline: this.name, name, ...where, clock, random, disk };
    return { engine, clock, random, logger, metrics, context };
  }
}

function typed<C>(types: Map<string, C>, type: string): C {
  const connector = types.get(type);
  if (!connector) throw new MillstreamError('invalid', 'UNKNOWN_CONNECTOR', `there is no connector \`${type}\``);
  return connector;
}

/** A sink that has not been started yet is a line too: the path of the records is known before they flow. */
function sinkLine(
  what: Pick<SinkStatusLine, 'name' | 'type' | 'from'>,
  running: RunningSink | undefined,
  failed: string | null = null,
): SinkStatusLine {
  if (!running) {
    const none = { in: 0, written: 0, filtered: 0, rejected: 0, retries: 0, lag: 0 };
    return { ...what, state: failed ? 'stopped' : 'starting', reason: null, ...none };
  }
  const { state, reason, counts, lag } = running.status();
  return { ...what, state, reason, ...counts, lag };
}

/** What keeps a detached sink from reading is told too, such as the range that it has lost. */
function withDetachment(line: SinkStatusLine, detached: string | null): SinkStatusLine {
  if (detached === null) return line;
  const isWell = line.state === 'running' || line.state === 'idle';
  const reason = line.reason === null ? detached : `${line.reason}; ${detached}`;
  return { ...line, state: isWell ? 'detached' : line.state, reason };
}

const TROUBLES = new Set(['degraded', 'detached', 'stalled', 'stopped']);

/** The first part that has trouble, in one sentence. */
function troubleOf(parts: readonly { name: string; state: string; reason: string | null }[]): string | null {
  const part = parts.find(each => TROUBLES.has(each.state) && each.reason !== null);
  return part ? `${part.name} is ${part.state}: ${part.reason}` : null;
}
