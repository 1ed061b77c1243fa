import { OpenOffsets } from './open-offsets.ts';

/** A committed position. */
export interface CommittedOffset {
  offset: number;
  leaderEpoch: number;
  metadata: string;
  /** Wall clock, milliseconds. */
  commitTimestamp: number;
}

/** What a position belongs to. */
export interface PositionKey {
  group: string;
  topic: string;
  partition: number;
}

interface Slot {
  /** What everybody is told. */
  durable: CommittedOffset | null;
  /** The newest that is in the journal; the same as `durable` once its sync is through. */
  latest: CommittedOffset | null;
  /** Their records' offsets in the journal. */
  durableAt: number;
  latestAt: number;
}

/**
 * The positions of all groups. A commit is `stage`d when it is appended to the journal and `settle`d when that is
 * durable; in between only this process sees it. What a transaction commits waits aside until the transaction ends.
 * Of two positions the one counts whose record (`at`: its offset) is the newer, as in Kafka: so says what compaction
 * leaves of the journal.
 */
export class CommittedOffsets {
  private readonly groups = new Map<string, Map<string, Map<number, Slot>>>();
  private readonly open = new OpenOffsets();

  stage({ group, topic, partition }: PositionKey, committed: CommittedOffset | null, at: number): void {
    let topics = this.groups.get(group);
    if (!topics) this.groups.set(group, (topics = new Map()));
    let slots = topics.get(topic);
    if (!slots) topics.set(topic, (slots = new Map()));
    const slot = slots.get(partition);
    if (!slot) slots.set(partition, { durable: null, latest: committed, durableAt: -1, latestAt: at });
    else if (at > slot.latestAt) Object.assign(slot, { latest: committed, latestAt: at });
  }

  settle({ group, topic, partition }: PositionKey, committed: CommittedOffset | null, at: number): void {
    const slots = this.groups.get(group)?.get(topic);
    const slot = slots?.get(partition);
    if (!slots || !slot || at < slot.durableAt) return;
    slot.durableAt = at;
    slot.durable = committed;
    if (slot.latest !== null || committed !== null) return;
    slots.delete(partition);
    if (slots.size === 0) this.groups.get(group)?.delete(topic);
    if (this.groups.get(group)?.size === 0) this.groups.delete(group);
  }

  /** Both at once: it is durable already. */
  set(key: PositionKey, committed: CommittedOffset | null, at: number): void {
    if (!committed) this.open.drop(key);
    this.stage(key, committed, at);
    this.settle(key, committed, at);
  }

  /** A position that counts once the producer's open transaction is committed. */
  stageOpen(
    producerId: number,
    { group, topic, partition }: PositionKey,
    committed: CommittedOffset,
    at: number,
  ): void {
    this.open.add(producerId, { key: { group, topic, partition }, committed, at });
  }

  /** What the producer's open transaction has staged. */
  openOf(producerId: number): (PositionKey & { committed: CommittedOffset })[] {
    return this.open.of(producerId).map(({ key, committed }) => ({ ...key, committed }));
  }

  /** The groups whose positions moved. `at`: the positions count from there on, not from where their records are. */
  endTransaction(producerId: number, kind: 'commit' | 'abort', at?: number): string[] {
    const ended = this.open.take(producerId);
    if (kind === 'abort') return [];
    for (const { key, committed, at: own } of ended) this.set(key, committed, at ?? own);
    return [...new Set(ended.map(({ key }) => key.group))];
  }

  /** True when an open transaction may move this position. */
  isUnstable(group: string, topic: string, partition: number): boolean {
    return this.open.has({ group, topic, partition });
  }

  /** Positions of a group that open transactions may move. */
  openKeys(group: string): PositionKey[] {
    return this.open.keysOf(group);
  }

  /** Groups that only an open transaction has positions for. */
  openGroups(): string[] {
    return this.open.groups().filter(group => !this.groups.has(group));
  }

  dropOpen(key: PositionKey): void {
    this.open.drop(key);
  }

  durable(group: string, topic: string, partition: number): CommittedOffset | null {
    return this.groups.get(group)?.get(topic)?.get(partition)?.durable ?? null;
  }

  latest(group: string, topic: string, partition: number): CommittedOffset | null {
    return this.groups.get(group)?.get(topic)?.get(partition)?.latest ?? null;
  }

  hasGroup(group: string): boolean {
    return this.groups.has(group);
  }

  groupIds(): string[] {
    return [...this.groups.keys()];
  }

  /** Every position of a group: the newest of each partition, `durable` or `latest`. */
  *of(
    group: string,
    which: 'durable' | 'latest',
  ): Generator<{ topic: string; partition: number; committed: CommittedOffset }> {
    for (const [topic, slots] of this.groups.get(group) ?? []) {
      for (const [partition, slot] of slots) {
        const committed = slot[which];
        if (committed) yield { topic, partition, committed };
      }
    }
  }
}
