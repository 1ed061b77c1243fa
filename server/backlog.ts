import { type Clock, sleep } from '../core/base/clock.ts';
import { formatSize } from '../core/base/units.ts';
import type { OutputPlan, PipelinePlan, SinkPlan } from '../etl/definition/plan.ts';

/*
 * How far the sinks of an output are behind, in bytes. Above the output's `max_backlog` its pipeline pauses and says
 * which sink holds it, or (`on_backlog = "detach_sink"`) the topic waits for that sink no longer: its retention may
 * remove what the sink has not read.
 */

const EVERY_MS = 500;

export interface BacklogOptions {
  plans: readonly Pick<PipelinePlan, 'name' | 'steps' | 'outputs' | 'sinks'>[];
  /** The logs of a topic's partitions. */
  logs: (topic: string) => readonly LogExtent[];
  /** First offset that the group has not committed durably. */
  position: (group: string, topic: string, partition: number) => number;
  clock: Clock;
}

export interface LogExtent {
  readonly startOffset: number;
  readonly lastStableOffset: number;
  readonly sizeBytes: number;
}

export class BacklogWatch {
  private readonly options: BacklogOptions;
  private readonly ended = new AbortController();
  private readonly held = new Map<string, string>();
  private readonly detached = new Map<string, string>();

  constructor(options: BacklogOptions) {
    this.options = options;
  }

  /** Looks twice a second, until `stop`. */
  async run(): Promise<void> {
    while (!this.ended.signal.aborted) {
      this.look();
      await sleep(this.options.clock, EVERY_MS, this.ended.signal);
    }
  }

  stop(): void {
    this.ended.abort();
  }

  /** Why the pipeline must not write now; null when it may. */
  holds(pipeline: string): string | null {
    return this.held.get(pipeline) ?? null;
  }

  /** Why the sink's topic does not wait for it; null when it does. */
  isDetached(pipeline: string, sink: string): string | null {
    return this.detached.get(groupOf(pipeline, sink)) ?? null;
  }

  look(): void {
    for (const plan of this.options.plans) {
      // Without steps the sinks read what producers write.
      if (plan.steps.length === 0) continue;
      let reason: string | null = null;
      for (const output of plan.outputs) {
        for (const sink of plan.sinks.filter(each => each.topic === output.topic)) {
          reason = this.lookAt(plan.name, output, sink) ?? reason;
        }
      }
      if (reason === null) this.held.delete(plan.name);
      else this.held.set(plan.name, reason);
    }
  }

  private lookAt(pipeline: string, output: OutputPlan, sink: SinkPlan): string | null {
    const { maxBacklogBytes: most, onBacklog } = output;
    const group = groupOf(pipeline, sink.name);
    const { bytes, isInside } = this.behind(group, sink.topic);
    const figures = `${roughly(bytes)} of ${sink.topic} are not written yet, max_backlog is ${formatSize(most)}`;
    if (onBacklog !== 'detach_sink') return bytes > most ? `the sink ${sink.name} holds it up: ${figures}` : null;
    if (bytes > most) {
      this.detached.set(group, `${sink.topic} does not wait for it any more (on_backlog = "detach_sink"): ${figures}`);
    } else if (isInside && bytes <= most / 2) this.detached.delete(group);
    return null;
  }

  /** Bytes are estimated from the number of offsets. */
  private behind(group: string, topic: string): { bytes: number; isInside: boolean } {
    let bytes = 0;
    let isInside = true;
    for (const [partition, { startOffset, lastStableOffset, sizeBytes }] of this.options.logs(topic).entries()) {
      const position = this.options.position(group, topic, partition);
      const left = lastStableOffset - Math.max(position, startOffset);
      if (left > 0) bytes += (sizeBytes * left) / (lastStableOffset - startOffset);
      isInside &&= position >= startOffset;
    }
    return { bytes: Math.round(bytes), isInside };
  }
}

const groupOf = (pipeline: string, sink: string): string => `millstream.${pipeline}.${sink}`;

/** In units that somebody reads. */
function roughly(bytes: number): string {
  const unit = bytes >= 10 * 2 ** 20 ? 2 ** 20 : 1024;
  return formatSize(Math.ceil(bytes / unit) * unit);
}
