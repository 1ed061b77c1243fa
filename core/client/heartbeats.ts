import { sleep } from '../base/clock.ts';
import { ApiKey } from '../protocol/api.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import { BrokerError, mayRetry } from './broker-error.ts';
import type { Cluster, Lane } from './cluster.ts';

/** Which member of which generation speaks; commits carry it too. */
export interface Generation {
  group: string;
  generationId: number;
  memberId: string;
  instanceId: string | null;
}

/** rebalance: the partitions must be given back and the group joined again; lost: they are somebody else's already. */
export type Ending = { reason: 'rebalance' | 'lost' } | { reason: 'failed'; error: unknown };

const LOST: ReadonlySet<number> = new Set([
  ErrorCode.UNKNOWN_MEMBER_ID,
  ErrorCode.ILLEGAL_GENERATION,
] satisfies number[]);

export interface HeartbeatOptions {
  lane: Lane;
  everyMs: number;
  sessionTimeoutMs: number;
  /** The membership is over, whatever `ended` said before. Not called after `stop`. */
  lost(): void;
}

/** Keeps one generation's membership alive until `stop`, and tells when it comes to its end. */
export class Heartbeats {
  /** Resolves once, with the first reason to end. After 'rebalance' the beats go on until `stop`. */
  readonly ended: Promise<Ending>;
  private readonly stopped = new AbortController();
  private end: (ending: Ending) => void = () => {};

  constructor(cluster: Cluster, generation: Generation, options: HeartbeatOptions) {
    this.ended = new Promise(resolve => {
      this.end = resolve;
    });
    void this.beat(cluster, generation, options);
  }

  stop(): void {
    this.stopped.abort();
  }

  private lose(options: HeartbeatOptions): void {
    options.lost();
    this.end({ reason: 'lost' });
  }

  private async beat(cluster: Cluster, generation: Generation, options: HeartbeatOptions): Promise<void> {
    const { clock } = cluster;
    const { signal } = this.stopped;
    const { group, generationId, memberId, instanceId } = generation;
    const body = { groupId: group, generationId, memberId, groupInstanceId: instanceId };
    let heardAt = clock.monotonic();
    for (;;) {
      await sleep(clock, options.everyMs, signal);
      if (signal.aborted) return;
      try {
        const { errorCode } = await cluster.toCoordinator(group, ApiKey.Heartbeat, body, { lane: options.lane });
        // What is said of a generation that has ended says nothing of the next one.
        if (signal.aborted) return;
        if (LOST.has(errorCode)) return this.lose(options);
        if (errorCode === ErrorCode.REBALANCE_IN_PROGRESS) this.end({ reason: 'rebalance' });
        else if (errorCode !== ErrorCode.NONE) throw new BrokerError(errorCode, `group ${group}`);
        heardAt = clock.monotonic();
      } catch (error) {
        if (signal.aborted) return;
        if (!mayRetry(error)) return this.end({ reason: 'failed', error });
        cluster.forgetCoordinator(group);
        if (clock.monotonic() - heardAt > options.sessionTimeoutMs) return this.lose(options);
      }
    }
  }
}
