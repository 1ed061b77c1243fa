/** A committed position. */
export interface CommittedOffset {
  offset: number;
  leaderEpoch: number;
  metadata: string;
  /** Wall clock, milliseconds. */
  commitTimestamp: number;
}

interface Slot {
  /** What everybody is told. */
  durable: CommittedOffset | null;
  /** The newest that is in the journal; the same as `durable` once its sync is through. */
  latest: CommittedOffset | null;
}

/**
 * The positions of all groups. A commit is `stage`d when it is appended to the journal and `settle`d when that is
 * durable; in between only this process sees it.
 */
export class CommittedOffsets {
  private readonly groups = new Map<string, Map<string, Map<number, Slot>>>();

  stage(group: string, topic: string, partition: number, committed: CommittedOffset | null): void {
    let topics = this.groups.get(group);
    if (!topics) this.groups.set(group, (topics = new Map()));
    let slots = topics.get(topic);
    if (!slots) topics.set(topic, (slots = new Map()));
    const slot = slots.get(partition);
    if (slot) slot.latest = committed;
    else slots.set(partition, { durable: null, latest: committed });
  }

  /** Journal entries become durable in their order, so a settled commit is never older than what stands. */
  settle(group: string, topic: string, partition: number, committed: CommittedOffset | null): void {
    const slots = this.groups.get(group)?.get(topic);
    const slot = slots?.get(partition);
    if (!slots || !slot) return;
    slot.durable = committed;
    if (slot.latest !== null || committed !== null) return;
    slots.delete(partition);
    if (slots.size === 0) this.groups.get(group)?.delete(topic);
    if (this.groups.get(group)?.size === 0) this.groups.delete(group);
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
