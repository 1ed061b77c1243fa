import type { Cluster } from '../core/client/cluster.ts';
import { listOffsets } from '../core/client/list-offsets.ts';

/** An older answer is asked for anew when somebody wants it. */
const FRESH_MS = 2000;

/** How many offsets the topics of a cluster hold, as far as it is known: who looks gets the last answer at once. */
export class TopicSizes {
  private readonly cluster: Cluster;
  private readonly known = new Map<string, { records: number; at: number }>();

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  /** 0 until the first answer. */
  stored(topic: string): number {
    const now = this.cluster.clock.monotonic();
    const { records, at } = this.known.get(topic) ?? { records: 0, at: Number.NEGATIVE_INFINITY };
    if (now - at >= FRESH_MS) {
      this.known.set(topic, { records, at: now });
      // Whatever is wrong with the brokers: reads and commits see to it.
      this.ask(topic).catch(() => {});
    }
    return records;
  }

  private async ask(topic: string): Promise<void> {
    const { partitions } = await this.cluster.topic(topic);
    const all = partitions.map((_, partition) => ({ topic, partition }));
    const [from, to] = await Promise.all([
      listOffsets(this.cluster, all, 'earliest', 'read_committed'),
      listOffsets(this.cluster, all, 'latest', 'read_committed'),
    ]);
    let records = 0;
    for (const [key, end] of to) records += Math.max(0, end - (from.get(key) ?? 0));
    this.known.set(topic, { records, at: this.cluster.clock.monotonic() });
  }
}
