import { MillstreamError } from '../base/errors.ts';
import type { Cluster } from './cluster.ts';
import { type ConsumedRecord, recordsOf } from './consumer.ts';
import { type FetchedPartition, Fetcher, type FetchOptions } from './fetcher.ts';
import { GroupMember, type GroupOptions } from './group-member.ts';
import { commitOffsets, committedOffsets } from './group-offsets.ts';
import type { Generation } from './heartbeats.ts';
import { listOffsets } from './list-offsets.ts';
import { keyOf, type TopicPartition } from './topic-partition.ts';

export interface ConsumeGroupOptions extends FetchOptions, GroupOptions {
  /** Where to begin in a partition for which the group has no position. Default 'latest'. */
  from?: 'earliest' | 'latest';
  /** End when everything that was there at the (last) assignment has been delivered. */
  exitAtEnd?: boolean;
  /** How often positions are committed while records come. Default 1 s. */
  commitEveryMs?: number;
  signal?: AbortSignal;
}

/**
 * Reads as a member of a group. What was yielded counts as done when the next is asked for; done positions are
 * committed now and then, when partitions are given back, and at the end: every record at least once.
 */
export async function* consumeGroup(
  cluster: Cluster,
  options: ConsumeGroupOptions,
): AsyncGenerator<ConsumedRecord[], void, void> {
  const reader = new GroupReader(cluster, options);
  try {
    yield* reader.read();
  } finally {
    await reader.close();
  }
}

class GroupReader {
  private readonly cluster: Cluster;
  private readonly options: ConsumeGroupOptions;
  private readonly fetcher: Fetcher;
  private readonly stop = new AbortController();
  private readonly running: Promise<void>;
  private failure: { error: unknown } | null = null;
  private generation: Generation | null = null;
  private ends: Map<string, number> | null = null;
  private readonly done = new Map<string, TopicPartition & { offset: number }>();
  private committedAt: number;
  /** Wakes a poll when the assignment changes. */
  private wake = new AbortController();
  /** Set while the caller works on what was yielded. */
  private inHand: { finished: Promise<void>; finish(): void } | null = null;

  constructor(cluster: Cluster, options: ConsumeGroupOptions) {
    this.cluster = cluster;
    this.options = options;
    this.fetcher = new Fetcher(cluster, options);
    this.committedAt = cluster.clock.monotonic();
    const member = new GroupMember(cluster, options, {
      assigned: (partitions, generation) => this.assigned(partitions, generation),
      revoked: (partitions, reason) => this.revoked(partitions, reason),
    });
    const signal = options.signal ? AbortSignal.any([options.signal, this.stop.signal]) : this.stop.signal;
    this.running = member.run(signal).catch((error: unknown) => {
      this.failure = { error };
      this.wake.abort();
    });
    options.signal?.addEventListener('abort', () => this.wake.abort(), { once: true, signal: this.stop.signal });
  }

  async *read(): AsyncGenerator<ConsumedRecord[], void, void> {
    while (!this.options.signal?.aborted && !this.atEnd()) {
      if (this.failure) throw this.failure.error;
      if (this.fetcher.assigned.length === 0) {
        await aborted(this.wake.signal);
        this.rearm();
        continue;
      }
      const generation = this.generation;
      for (const fetched of await this.fetcher.poll(this.wake.signal)) {
        // Given back while others of the same answer were being worked on.
        if (this.generation !== generation || generation === null) break;
        yield* this.handOut(fetched, generation);
      }
      this.rearm();
      const { clock } = this.cluster;
      if (clock.monotonic() - this.committedAt >= (this.options.commitEveryMs ?? 1000)) await this.commit();
    }
    if (this.failure) throw this.failure.error;
  }

  async close(): Promise<void> {
    this.inHand?.finish();
    this.inHand = null;
    this.stop.abort();
    await this.running;
    this.fetcher.close();
  }

  private async *handOut(
    fetched: FetchedPartition,
    generation: Generation,
  ): AsyncGenerator<ConsumedRecord[], void, void> {
    const records = recordsOf(fetched);
    const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
    if (records.length > 0) {
      this.inHand = { finished, finish };
      yield records;
      this.inHand = null;
    }
    // In a later generation the partition may be somebody else's: its position is not ours to tell.
    if (this.generation === generation) {
      this.done.set(keyOf(fetched), { topic: fetched.topic, partition: fetched.partition, offset: fetched.next });
    }
    finish();
  }

  private rearm(): void {
    if (this.wake.signal.aborted && !this.failure && !this.options.signal?.aborted) this.wake = new AbortController();
  }

  private atEnd(): boolean {
    if (!this.options.exitAtEnd || !this.ends || !this.generation) return false;
    return this.fetcher.assigned.every(one => (this.fetcher.positionOf(one) ?? 0) >= (this.ends?.get(keyOf(one)) ?? 0));
  }

  private async assigned(partitions: readonly TopicPartition[], generation: Generation): Promise<void> {
    const { group, from = 'latest', isolation = 'read_committed', exitAtEnd } = this.options;
    const committed = await committedOffsets(this.cluster, group, partitions);
    const fresh = partitions.filter(one => !committed.has(keyOf(one)));
    const starts = await listOffsets(this.cluster, fresh, from, isolation);
    this.ends = exitAtEnd ? await listOffsets(this.cluster, partitions, 'latest', isolation) : null;
    this.done.clear();
    for (const one of partitions) {
      const next = committed.get(keyOf(one))?.offset ?? starts.get(keyOf(one)) ?? 0;
      this.fetcher.assign(one.topic, one.partition, next);
    }
    this.generation = generation;
    this.wake.abort();
  }

  private async revoked(
    partitions: readonly TopicPartition[],
    reason: 'rebalance' | 'leaving' | 'lost',
  ): Promise<void> {
    for (const one of partitions) this.fetcher.unassign(one);
    // Whoever reads these partitions next begins where this member ends: let it end.
    if (reason !== 'lost') {
      await this.inHand?.finished;
      await this.commit();
    }
    this.generation = null;
    this.done.clear();
  }

  private async commit(): Promise<void> {
    const { generation } = this;
    if (!generation || this.done.size === 0) return;
    const offsets = Array.from(this.done.values(), one => ({ ...one, metadata: null }));
    this.committedAt = this.cluster.clock.monotonic();
    try {
      await commitOffsets(this.cluster, generation.group, generation, offsets);
    } catch (error) {
      if (!(error instanceof MillstreamError) || error.kind !== 'conflict') throw error;
      // The group is on its way to the next generation: what was not committed comes again there.
      this.cluster.logger.info('positions were not committed, the group is rebalancing', { group: generation.group });
      return;
    }
    for (const one of offsets) {
      if (this.done.get(keyOf(one))?.offset === one.offset) this.done.delete(keyOf(one));
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
