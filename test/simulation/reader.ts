import { History } from './checker/history.ts';
import type { Life } from './life.ts';

export type Isolation = 'all' | 'committed';

/** Topics that the checker knows, with the history of each of their partitions. */
export class Histories {
  readonly topics: readonly string[];
  readonly partitions: number;
  private readonly byName = new Map<string, History>();

  constructor(topics: readonly string[], partitions: number) {
    this.topics = topics;
    this.partitions = partitions;
    for (const topic of topics) {
      for (let partition = 0; partition < partitions; partition++) {
        this.byName.set(`${topic}-${partition}`, new History(`${topic}-${partition}`));
      }
    }
  }

  of(topic: string, partition: number): History {
    const found = this.byName.get(`${topic}-${partition}`);
    if (!found) throw new Error(`nobody knows ${topic}-${partition}`);
    return found;
  }

  all(): History[] {
    return [...this.byName.values()];
  }

  *names(): Generator<{ topic: string; partition: number }> {
    for (const topic of this.topics) {
      for (let partition = 0; partition < this.partitions; partition++) yield { topic, partition };
    }
  }

  /** One Fetch over all partitions, of what was not read yet since the last restart. True when there may be more. */
  async look(life: Life, isolation: Isolation, maxBytes = 1e6): Promise<boolean> {
    const asked = new Map<string, number>();
    const topics = this.topics
      .filter(topic => life.broker.topics.get(topic) !== undefined)
      .map(topic => ({
        topic,
        partitions: Array.from({ length: this.partitions }, (_, partition) => {
          const start = life.broker.log(topic, partition)?.startOffset ?? 0;
          const fetchOffset = this.of(topic, partition).from(isolation, start);
          asked.set(`${topic}-${partition}`, fetchOffset);
          return { partition, fetchOffset, partitionMaxBytes: maxBytes };
        }),
      }));
    const isolationLevel = isolation === 'all' ? 0 : 1;
    const answer = await life.ask(1, 11, { maxWaitMs: 0, minBytes: 0, maxBytes: 1e7, isolationLevel, topics });
    let more = false;
    for (const { topic, partitions } of answer.responses) {
      for (const { partitionIndex, errorCode, ...said } of partitions) {
        // Records were deleted meanwhile: next time from the new start.
        if (errorCode === 1) continue;
        if (errorCode !== 0) throw new Error(`Fetch of ${topic}-${partitionIndex}: error ${errorCode}`);
        const from = asked.get(`${topic}-${partitionIndex}`) ?? 0;
        if (this.of(topic, partitionIndex).take(isolation, from, said)) more = true;
      }
    }
    return more;
  }

  /** Reads everything anew, as both kinds of readers, while nobody writes. */
  async reread(life: Life): Promise<void> {
    for (const history of this.all()) history.restart();
    while (await this.look(life, 'all'));
    for (const { topic, partition } of this.names()) {
      const log = life.broker.log(topic, partition);
      if (log) this.of(topic, partition).wasReread(log.startOffset, log.highWatermark);
    }
    while (await this.look(life, 'committed'));
    for (const { topic, partition } of this.names()) {
      const log = life.broker.log(topic, partition);
      if (log) this.of(topic, partition).compareReaders(log.startOffset);
    }
  }
}

/** Committed positions, as OffsetFetch tells them. */
export async function positionsOf(
  life: Life,
  groups: readonly (readonly [group: string, topic: string])[],
  partitions: number,
): Promise<Map<string, { offset: number; state: string }>> {
  const found = new Map<string, { offset: number; state: string }>();
  const partitionIndexes = Array.from({ length: partitions }, (_, i) => i);
  for (const [groupId, name] of groups) {
    const answer = await life.ask(9, 7, { groupId, topics: [{ name, partitionIndexes }], groups: [] });
    for (const { partitionIndex, committedOffset: offset, metadata } of answer.topics[0]?.partitions ?? []) {
      found.set(`${groupId} ${name}-${partitionIndex}`, { offset, state: metadata ?? '' });
    }
  }
  return found;
}
