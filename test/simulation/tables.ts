import { isTombstone, keyOf, Table } from './checker/table.ts';
import type { Life } from './life.ts';
import type { Producer, Target } from './producers.ts';

const TOPIC = 'table';

/** Keyed records, each with its name in a header. */
export const KEYED: Target = {
  topic: TOPIC,
  entry: name => ({
    key: Buffer.from(keyOf(name)),
    value: isTombstone(name) ? null : Buffer.from(name),
    headers: [['name', Buffer.from(name)]],
  }),
};

/** The compacted topic of the simulation, whose segments are as small as may be. */
export class Tables {
  private readonly all: readonly Table[];
  private readonly segmentBytes: number;

  constructor(partitions: number, segmentBytes: number) {
    this.all = Array.from({ length: partitions }, (_, partition) => new Table(partition));
    this.segmentBytes = segmentBytes;
  }

  /** Records that compaction has taken away. */
  get goneCount(): number {
    return this.all.reduce((sum, table) => sum + table.goneCount, 0);
  }

  async make(life: Life): Promise<void> {
    await life.broker.topics.ensure({
      name: TOPIC,
      partitions: this.all.length,
      configs: {
        'cleanup.policy': 'compact',
        'segment.bytes': String(this.segmentBytes),
        'min.cleanable.dirty.ratio': '0.3',
        'delete.retention.ms': '2000',
      },
    });
  }

  /** Reads one partition from its start to its end, beside whatever happens. */
  async pass(life: Life, partition: number, partitionMaxBytes = 1e6): Promise<void> {
    const table = this.all[partition];
    if (!table) throw new Error(`nobody knows ${TOPIC}-${partition}`);
    let fetchOffset: number | null = life.broker.log(TOPIC, partition)?.startOffset ?? 0;
    while (fetchOffset !== null) {
      const topics = [{ topic: TOPIC, partitions: [{ partition, fetchOffset, partitionMaxBytes }] }];
      const asked = { maxWaitMs: 0, minBytes: 0, maxBytes: 1e7, isolationLevel: 1, topics };
      const answer = (await life.ask(1, 11, asked)).responses[0]?.partitions[0];
      if (answer?.errorCode !== 0) throw new Error(`Fetch of ${TOPIC}-${partition}: error ${answer?.errorCode}`);
      fetchOffset = table.take(fetchOffset, answer);
    }
    table.endPass();
  }

  /** While no producer writes. */
  async check(life: Life, producers: readonly Producer[]): Promise<void> {
    const sent = producers.filter(({ target }) => target === KEYED).flatMap(producer => producer.sent);
    for (const [partition, table] of this.all.entries()) {
      await this.pass(life, partition);
      table.check(sent);
    }
  }
}
