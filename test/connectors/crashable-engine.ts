import { MillstreamError } from '../../core/base/errors.ts';
import type {
  Chunk,
  Commit,
  Engine,
  JoinOptions,
  Lease,
  LeaseHandler,
  Membership,
  OffsetRange,
  Peer,
  TopicInfo,
  TopicSpec,
} from '../../core/engine/engine.ts';

/** An engine that can end as with its process: what runs on it goes on, but reads, commits and leaves nothing any more. */
export class CrashableEngine implements Engine {
  private readonly inner: Engine;
  private readonly crashed = new AbortController();

  constructor(inner: Engine) {
    this.inner = inner;
  }

  crash(): void {
    this.crashed.abort();
  }

  async ensureTopic(spec: TopicSpec, signal?: AbortSignal): Promise<TopicInfo> {
    return before(this.crashed.signal, this.inner.ensureTopic(spec, signal));
  }

  async join(group: string, topics: string[], on: LeaseHandler, options?: JoinOptions): Promise<Membership> {
    const { signal } = this.crashed;
    const leases = new Map<Lease, Lease>();
    const joined = this.inner.join(
      group,
      topics,
      {
        async assigned(lease) {
          if (signal.aborted) return;
          const mine = new CrashableLease(lease, signal);
          leases.set(lease, mine);
          await on.assigned(mine);
        },
        async revoked(lease) {
          const mine = leases.get(lease);
          if (!signal.aborted && leases.delete(lease) && mine) await on.revoked(mine);
        },
      },
      options,
    );
    const membership = await before(signal, joined);
    return {
      group,
      async leave() {
        if (!signal.aborted) return membership.leave();
        await Promise.all([...leases.values()].map(lease => on.revoked(lease)));
        leases.clear();
      },
    };
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}

class CrashableLease implements Lease {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly partitions: number;
  readonly epoch: number;
  readonly position: Lease['position'];
  readonly start: bigint;
  readonly signal: AbortSignal;
  private readonly inner: Lease;
  private readonly crashed: AbortSignal;

  constructor(inner: Lease, crashed: AbortSignal) {
    this.inner = inner;
    this.crashed = crashed;
    this.topic = inner.topic;
    this.topicId = inner.topicId;
    this.partition = inner.partition;
    this.partitions = inner.partitions;
    this.epoch = inner.epoch;
    this.position = inner.position;
    this.start = inner.start;
    this.signal = AbortSignal.any([inner.signal, crashed]);
  }

  read(from: bigint, maxBytes: number): Promise<Chunk> {
    const nothing: Chunk = { batches: [], sizeBytes: 0, next: from };
    if (this.crashed.aborted) return Promise.resolve(nothing);
    return before(this.crashed, this.inner.read(from, maxBytes)).catch((error: unknown) => {
      if (this.crashed.aborted) return nothing;
      throw error;
    });
  }

  lag(from: bigint): bigint {
    return this.inner.lag(from);
  }

  recall(topic: string): Promise<Uint8Array[]> {
    return before(this.crashed, this.inner.recall(topic));
  }

  bounds(): { from: bigint; to: bigint } {
    return this.inner.bounds();
  }

  async peers(): Promise<Peer[]> {
    return before(this.crashed, this.inner.peers());
  }

  async commit(commit: Commit): Promise<{ ranges: OffsetRange[] }> {
    if (this.crashed.aborted) throw ended();
    return before(this.crashed, this.inner.commit(commit));
  }
}

/** Nobody hears any more what comes behind the crash. */
function before<T>(crashed: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = (): void => reject(ended());
    if (crashed.aborted) end();
    crashed.addEventListener('abort', end, { once: true });
    promise.then(resolve, reject).finally(() => crashed.removeEventListener('abort', end));
  });
}

const ended = (): MillstreamError => new MillstreamError('conflict', 'FENCED', 'the process has crashed');
