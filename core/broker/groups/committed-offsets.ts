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
  /** Ticket of `durable`. */
  settled: number;
}

/**
 * The positions of all groups. A commit is `stage`d when it is appended to the journal and `settle`d when that is
 * durable; in between only this process sees it. What a transaction commits waits aside until the transaction ends.
 */
export class CommittedOffsets {
  private readonly groups = new Map<string, Map<string, Map<number, Slot>>>();
  private readonly open = new OpenOffsets();
  private tickets = 0;

  /** Returns the ticket that `settle` wants. */
  stage(group: string, topic: string, partition: number, committed: CommittedOffset | null): number {
    let topics = this.groups.get(group);
    if (!topics) this.groups.set(group, (topics = new Map()));
    let slots = topics.get(topic);
    if (!slots) topics.set(topic, (slots = new Map()));
    const slot = slots.get(partition);
    if (slot) slot.latest = committed;
    else slots.set(partition, { durable: null, latest: committed, settled: -1 });
    return this.tickets++;
  }

  /** What is older than what stands changes nothing: a transaction's positions are durable before others that were
   * staged earlier. */
  settle(group: string, topic: string, partition: number, committed: CommittedOffset | null, ticket: number): void {
    const slots = this.groups.get(group)?.get(topic);
    const slot = slots?.get(partition);
    if (!slots || !slot || ticket < slot.settled) return;
    slot.settled = ticket;
    slot.durable = committed;
    if (slot.latest !== null || committed !== null) return;
    slots.delete(partition);
    if (slots.size === 0) this.groups.get(group)?.delete(topic);
    if (this.groups.get(group)?.size === 0) this.groups.delete(group);
  }

  /** Both at once: it is durable already. */
  set({ group, topic, partition }: PositionKey, committed: CommittedOffset | null): void {
    if (!committed) this.open.drop({ group, topic, partition });
    const ticket = this.stage(group, topic, partition, committed);
    this.settle(group, topic, partition, committed, ticket);
  }

  /** A position that counts once the producer's open transaction is committed. */
  stageOpen(producerId: number, { group, topic, partition }: PositionKey, committed: CommittedOffset): void {
    this.open.add(producerId, { group, topic, partition }, committed);
  }

  /** The groups whose positions moved. */
  endTransaction(producerId: number, kind: 'commit' | 'abort'): string[] {
    const ended = this.open.take(producerId);
    if (kind === 'abort') return [];
    for (const { key, committed } of ended) this.set(key, committed);
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
