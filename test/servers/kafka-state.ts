/** What a test does to the contents of a real Apache Kafka between its cases. Everything in it is the test's own. */
import { Admin } from '../../core/client/admin.ts';
import { committedOffsets } from '../../core/client/group-offsets.ts';
import { listOffsets } from '../../core/client/list-offsets.ts';
import { kafkaProcess } from '../core/engine/kafka-fixture.ts';
import { eventually } from './process.ts';

/** Deletes all topics and groups, and waits until the broker has heard of it. */
export async function emptyKafka(bootstrap: string): Promise<void> {
  const process = kafkaProcess(bootstrap);
  const admin = new Admin(process.cluster);
  await eventually(
    'a cluster without groups and topics',
    async () => {
      const groups = await admin.groups.list();
      const topics = (await admin.topics.list()).filter(topic => !topic.isInternal);
      await Promise.allSettled([
        ...groups.map(({ group }) => admin.groups.delete(group)),
        ...topics.map(({ name }) => admin.topics.delete(name)),
      ]);
      return groups.length === 0 && topics.length === 0 ? true : undefined;
    },
    60_000,
  );
  await process.close();
}

/**
 * Waits until every transaction that was answered has its markers. Kafka answers EndTxn before it writes them. Killed in
 * between, 4.3.1 loads the transaction when it comes back, finds that the partitions have no leader while it registers
 * anew, takes them for deleted ones ("likely deleted already and hence can be skipped" in its log) and notes the
 * transaction as complete: its records and positions are undecided from then on (`kafka-transactions.sh find-hanging`).
 */
export async function transactionsSettled(bootstrap: string): Promise<void> {
  const process = kafkaProcess(bootstrap);
  const { cluster } = process;
  const admin = new Admin(cluster);
  for (const { group } of await admin.groups.list()) await committedOffsets(cluster, group, null);
  const topics = (await admin.topics.list()).filter(topic => !topic.isInternal);
  const places = topics.flatMap(({ name: topic, partitions }) =>
    partitions.map(({ partition }) => ({ topic, partition })),
  );
  await eventually('the last stable offsets', async () => {
    const stable = await listOffsets(cluster, places, 'latest', 'read_committed');
    const ends = await listOffsets(cluster, places, 'latest', 'read_uncommitted');
    return [...ends].every(([key, end]) => stable.get(key) === end) || undefined;
  });
  await process.close();
}
