import type { Clock } from '../../core/base/clock.ts';
import { asMillstreamError } from '../../core/base/errors.ts';
import type { Logger } from '../../core/base/logger.ts';
import type { Metrics } from '../../core/base/metrics.ts';
import type { Random } from '../../core/base/random.ts';
import type { Append, Engine, Lease, Membership, TopicInfo } from '../../core/engine/engine.ts';
import { DIGEST_DIGITS } from '../../core/engine/lineage.ts';
import { stepReplayTopic } from '../../core/engine/replay.ts';
import { deadLetterSpec, type PipelinePlan, stateSpec } from '../definition/plan.ts';
import { reachOf } from '../sandbox/past-batches.ts';
import type { ChainSpec, ChainStep, Lane, LaneTask, Sandbox, TaskResult } from '../sandbox/sandbox.ts';
import { refused } from '../sandbox/state/changelog.ts';
import { PipelineCounts } from './counts.ts';
import { LaneTotals } from './lane-totals.ts';
import { LaneRunner, type LaneWork } from './lane-runner.ts';
import { RecalledLane, shortId } from './recalled-lane.ts';
import { deadAppends, ReplayLane } from './replay.ts';
import { ModuleLogs } from './module-logs.ts';
import { Shadow, ShadowedLane, type ShadowPlan } from './shadow.ts';
import { Tap } from './tap.ts';
import { freshTotals, sumTotals, type Totals } from './totals.ts';

const DEFAULT_IDLE_MS = 10_000;
/** Starts a chain's instances and does nothing else. */
const NO_TASK = (): LaneTask => ({ batches: new Uint8Array(new ArrayBuffer(0)), from: 0, samples: 0 });

const digestsOf = (steps: readonly ChainStep[]): LaneWork['steps'] =>
  steps.map(({ name, module }) => ({ name, sha256: module.sha256.slice(0, DIGEST_DIGITS) }));

export interface PipelineRunnerOptions {
  plan: PipelinePlan;
  /** plan.steps with their modules looked up. */
  steps: ChainStep[];
  engine: Engine;
  sandbox: Sandbox;
  clock: Clock;
  logger: Logger;
  metrics: Metrics;
  /** Merge limit of a task. */
  taskRecords: number;
  /** What is tried beside the steps' modules; left out: nothing. */
  shadows?: readonly ShadowPlan[];
  /** Where that runs: whatever it does, the pipeline does not wait for it. */
  shadowSandbox?: () => Sandbox;
  random: Random;
  /** Why nothing may be written now; null when it may. Left out: it always may. */
  held?: () => string | null;
}

export type RunnerState = 'starting' | 'running' | 'degraded' | 'paused' | 'stopped';

interface Running {
  totals: LaneTotals;
  lane: LaneRunner;
  lease: Lease;
  done: Promise<void>;
  degraded: string | null;
  /** A policy, or a module that does not start, has ended it. */
  isStopped: boolean;
}

/** Runs the steps of one pipeline: a lane for each source partition that this process holds, and one for replays. */
export class PipelineRunner {
  readonly counts: PipelineCounts;
  readonly tap: Tap;
  readonly logs: ModuleLogs;
  readonly shadows: readonly Shadow[];
  private readonly options: PipelineRunnerOptions;
  /** With the modules that do the work now. */
  private steps: readonly ChainStep[];
  private readonly logger: Logger;
  private readonly running = new Map<Lease, Running>();
  private readonly partitions = new Map<string, number>();
  private membership: Membership | null = null;
  /** Where the steps' state is kept; null: they keep none. */
  private changelog: TopicInfo | null = null;
  private stopped: string | null = null;

  constructor(options: PipelineRunnerOptions) {
    const { plan, metrics, clock, logger } = options;
    this.options = options;
    this.steps = options.steps;
    this.logger = logger.with({ pipeline: plan.name });
    this.tap = new Tap(clock);
    this.logs = new ModuleLogs(clock);
    const { random, shadows = [] } = options;
    this.shadows = shadows.map(each => new Shadow(each, plan.name, { random, logger: this.logger, metrics }));
    const names = plan.outputs.map(output => output.name);
    this.counts = new PipelineCounts(
      plan.name,
      plan.steps.map(step => step.name),
      names,
      metrics,
    );
  }

  /** Makes the topics, tries the modules, joins the group. Kind `invalid` when a module refuses its config. When the
   * signal is aborted it gives up. */
  async start(signal?: AbortSignal): Promise<void> {
    const { plan, engine, sandbox } = this.options;
    const source = await engine.ensureTopic({ name: plan.source.topic }, signal);
    this.partitions.set(source.name, source.partitions);
    const isStateful = this.steps.some(({ module }) => module.state);
    if (isStateful) {
      this.changelog = await this.ensureChangelog(source.partitions);
      for (const shadow of this.shadows) shadow.failed('a step of the pipeline keeps state, which has no second hand');
    }
    for (const output of plan.outputs) {
      const wanted = output.partitions ?? source.partitions;
      const configs: Record<string, string> =
        output.retentionMs === null ? {} : { 'retention.ms': String(output.retentionMs) };
      const info = await engine.ensureTopic({ name: output.topic, partitions: wanted, configs }, signal);
      this.partitions.set(output.topic, info.partitions);
    }
    const dead = await engine.ensureTopic(deadLetterSpec(plan.deadLetterTopic, source.partitions), signal);
    this.partitions.set(dead.name, dead.partitions);
    await sandbox.probe(this.chain({ topic: source.name, topicId: source.topicId, partition: 0 }, this.steps));
    // The topic of replays is made with the first of them.
    this.membership = await engine.join(
      `millstream.${plan.name}`,
      [source.name, stepReplayTopic(plan.name)],
      { assigned: lease => this.assigned(lease), revoked: lease => this.revoked(lease) },
      { start: plan.source.start, ...(signal && { signal }) },
    );
  }

  /** Whether these could do the work: they are compiled and started where it does no harm. Kind `invalid`, code
   * MODULE_INIT_FAILED or STATE_REFUSED: why not. */
  async tryOut(steps: readonly ChainStep[]): Promise<void> {
    const { plan, sandbox, engine } = this.options;
    for (const [i, { name, module }] of steps.entries()) {
      const before = this.steps[i]?.module.state?.version ?? null;
      const after = module.state?.version ?? null;
      if (before === after) continue;
      const said = (version: number | null): string => (version === null ? 'no state' : `state of version ${version}`);
      throw refused(`step ${name} keeps ${said(before)}, and \`${module.name}\` ${module.version} ${said(after)}`);
    }
    const { topicId } = await engine.ensureTopic({ name: plan.source.topic });
    await sandbox.probe(this.chain({ topic: plan.source.topic, topicId, partition: 0 }, steps));
  }

  /** From the next commit of each partition on, these do the work: resolves when they do. To be called by one at a time,
   * after `tryOut`. */
  async switchTo(steps: readonly ChainStep[]): Promise<void> {
    this.steps = steps;
    const switches = [...this.running.values()].map(async ({ lane, lease, totals, isStopped }) => {
      if (isStopped) {
        // What was in the way may be gone.
        this.stopped = null;
        totals.reset();
        this.begin(lease, totals, lane.next);
        return;
      }
      const work = this.workOn(lease, totals);
      // Compiled and started before what is under way must be waited for. What fails here is told by the lane itself.
      if (!work.state) await work.lane.run(NO_TASK()).catch(() => {});
      await lane.switchTo(work);
    });
    await Promise.all(switches);
  }

  /** Drains: no new reads, what is under way is committed. */
  async stop(): Promise<void> {
    await this.membership?.leave();
    this.membership = null;
  }

  status(): { state: RunnerState; reason: string | null; lag: number } {
    const lanes = [...this.running.values()];
    const lag = lanes.reduce((sum, { lane, lease }) => sum + Number(lease.lag(lane.next)), 0);
    if (this.stopped) return { state: 'stopped', reason: this.stopped, lag };
    const degraded = lanes.find(lane => lane.degraded !== null)?.degraded ?? null;
    if (degraded) return { state: 'degraded', reason: degraded, lag };
    const held = this.options.held?.() ?? null;
    if (held && this.membership) return { state: 'paused', reason: held, lag };
    return { state: this.membership ? 'running' : 'starting', reason: null, lag };
  }

  /** Since the pipeline began, over the partitions held here. */
  totals(): Totals {
    const lanes = [...this.running.values()];
    return lanes.reduce((sum, { totals: { committed }, lease }) => {
      // A replay is no further source record.
      const taken = lease.topic === this.options.plan.source.topic ? committed.in : 0;
      return sumTotals(sum, { ...committed, in: taken });
    }, freshTotals(0));
  }

  private chain(source: ChainSpec['source'], steps: readonly ChainStep[]): ChainSpec {
    const { plan } = this.options;
    const outputs = plan.outputs.map(output => ({
      name: output.name,
      topic: output.topic,
      rehashPartitions: output.partitionBy === 'key' ? (this.partitions.get(output.topic) ?? 1) : null,
      codec: output.codec,
    }));
    const onLine: ChainSpec['onLine'] = line => this.logs.add(line, source.partition);
    return { pipeline: plan.name, steps: [...steps], outputs, source, onLine };
  }

  private async assigned(lease: Lease): Promise<void> {
    const { plan } = this.options;
    const { topicId } = lease;
    const isReplay = this.isReplay(lease);
    if (this.changelog && !isReplay && lease.partitions !== this.changelog.partitions) {
      // From here on keys go to other partitions than those that have their state.
      this.stopped = otherPartitions(this.changelog.name, lease.partitions).message;
      for (const { lane: running } of this.running.values()) running.drain();
      return;
    }
    // A replay that was asked for before the lease was there is not passed over, whatever `source.start` says.
    const start = isReplay ? (lease.position?.next ?? lease.bounds().from) : lease.start;
    const totals = new LaneTotals({
      topicId,
      outputs: plan.outputs.map(output => output.name),
      steps: digestsOf(this.steps),
      state: lease.position?.state ?? null,
      start,
      changelog: this.changelog && !isReplay ? shortId(this.changelog.topicId) : null,
    });
    this.begin(lease, totals, start);
  }

  private begin(lease: Lease, totals: LaneTotals, start: bigint): void {
    const { clock, taskRecords, plan } = this.options;
    const { topic, partition } = lease;
    const isReplay = this.isReplay(lease);
    const names = plan.outputs.map(output => output.name);
    const runner = new LaneRunner({
      lease,
      totals,
      work: this.workOn(lease, totals),
      start,
      clock,
      taskRecords,
      samples: () => this.tap.wanted(),
      isHeld: () => (this.options.held?.() ?? null) !== null,
      appends: result => this.appends(result, isReplay ? null : partition),
      committed: result => {
        this.counts.add(result, names, isReplay);
        for (const sample of result.samples) {
          this.tap.publish({ ...sample, pipeline: plan.name, topic, partition, at: clock.now() });
        }
      },
      degraded: reason => {
        if (reason && running.degraded === null) this.logger.warn(`cannot commit now: ${reason}`, { topic, partition });
        running.degraded = reason;
      },
    });
    const done = Promise.resolve();
    const running: Running = { lane: runner, lease, totals, degraded: null, done, isStopped: false };
    running.done = this.finish(running);
    this.running.set(lease, running);
  }

  private isReplay(lease: Lease): boolean {
    return lease.topic === stepReplayTopic(this.options.plan.name);
  }

  private workOn(lease: Lease, totals: LaneTotals): LaneWork {
    const { sandbox, clock, plan } = this.options;
    const { topic, topicId, partition } = lease;
    const chain = this.chain({ topic, topicId, partition }, this.steps);
    const steps = digestsOf(this.steps);
    if (this.isReplay(lease)) {
      const partitions = this.partitions.get(plan.source.topic) ?? 1;
      return { lane: new ReplayLane({ lease, sandbox, clock, chain, partitions }), lookBack: 0, steps };
    }
    const lookBack = lookBackOffsets(this.steps);
    if (!this.changelog) return { lane: this.withShadows(sandbox.openLane(chain), chain), lookBack, steps };
    const changelog = { topic: this.changelog.name, topicId: this.changelog.topicId };
    const lane = new RecalledLane({ sandbox, lease, chain, totals, changelog });
    return { lane, state: { reset: () => lane.reset(), idleMs: this.idleMs() }, lookBack, steps };
  }

  private withShadows(lane: Lane, chain: ChainSpec): Lane {
    const sandbox = this.options.shadowSandbox;
    if (!sandbox || this.shadows.length === 0) return lane;
    const beside = this.shadows.map(shadow => {
      const steps = chain.steps.with(shadow.plan.step, shadow.plan.with);
      const { onLine: _, ...spec } = chain;
      return { shadow, lane: sandbox().openLane({ ...spec, steps }) };
    });
    const names = chain.outputs.map(({ name }) => name);
    return new ShadowedLane(lane, beside, names, chain.source.partition);
  }

  private async finish(running: Running): Promise<void> {
    const { topic, partition } = running.lease;
    const end = await running.lane.run();
    if (end.how !== 'stopped') return;
    running.isStopped = true;
    this.stopped = end.reason;
    this.logger.error(`stopped: ${end.reason}`, { topic, partition, next: String(running.lane.next) });
  }

  private async revoked(lease: Lease): Promise<void> {
    const running = this.running.get(lease);
    if (!running) return;
    running.lane.drain();
    await running.done;
    this.running.delete(lease);
  }

  private async ensureChangelog(partitions: number): Promise<TopicInfo> {
    const spec = stateSpec(this.options.plan.name, partitions);
    try {
      return await this.options.engine.ensureTopic(spec);
    } catch (error) {
      if (asMillstreamError(error).kind !== 'conflict') throw error;
      throw otherPartitions(spec.name, partitions);
    }
  }

  /** The shortest of the steps that set timers; null: none does. */
  private idleMs(): number | null {
    const idle = this.options.plan.steps.flatMap(({ idleMs = DEFAULT_IDLE_MS }, i) =>
      this.steps[i]?.module.state?.timers ? idleMs : [],
    );
    return idle.length > 0 ? Math.min(...idle) : null;
  }

  /** `partition` null: replays, each of a partition of its own. */
  private appends(result: TaskResult, partition: number | null): Append[] {
    const { plan } = this.options;
    const appends: Append[] = [];
    for (const output of result.outputs) {
      const topic = plan.outputs[output.route]?.topic;
      const { partition: to, batch, origins } = output;
      if (topic) appends.push({ topic, partition: to, batch, origins });
    }
    if (this.changelog && partition !== null) {
      const topic = this.changelog.name;
      for (const batch of result.state?.batches ?? []) appends.push({ topic, partition, batch, isState: true });
    }
    if (result.dead) {
      const count = this.partitions.get(plan.deadLetterTopic) ?? 1;
      const topic = plan.deadLetterTopic;
      if (partition === null) appends.push(...deadAppends(result.dead.batch, topic, count));
      else appends.push({ topic, partition: partition % count, batch: result.dead.batch });
    }
    return appends;
  }
}

function otherPartitions(changelog: string, partitions: number): Error {
  const state = `the state in ${changelog} is that of another number: its keys lie elsewhere`;
  return refused(`the source has ${partitions} partitions, ${state}`);
}

/** Offsets are more than records: transactions and compaction leave gaps. */
const OFFSETS_PER_RECORD = 4;

function lookBackOffsets(steps: readonly ChainStep[]): number {
  const reaches = steps.flatMap(({ lookBack }) => (lookBack ? [reachOf(lookBack)] : []));
  return Math.max(0, ...reaches) * OFFSETS_PER_RECORD;
}
