import type { Journal } from '../journal.ts';
import type { Partition } from '../partition.ts';
import type { CommittedOffsets } from './committed-offsets.ts';
import type { JournalEntry } from './group-records.ts';

const BATCH_RECORDS = 500;

/**
 * A journal from before it was compacted may hold snapshots: positions repeated behind newer ones that an open
 * transaction held at that time. Its positions counted from their marker on; in a compacted journal the newest record
 * of a key counts. So all that it says is written once more, in an order in which both say the same. Durable when it
 * resolves; may be repeated.
 */
export async function adoptSnapshots(
  journal: Journal<JournalEntry>,
  partition: Partition,
  groups: Iterable<JournalEntry>,
  offsets: CommittedOffsets,
): Promise<void> {
  let entries: JournalEntry[] = [...groups];
  for (const group of offsets.groupIds()) {
    for (const position of offsets.of(group, 'latest')) entries.push({ kind: 'offset', group, ...position });
  }
  let durable = Promise.resolve();
  for (; entries.length > 0; entries = entries.slice(BATCH_RECORDS)) {
    durable.catch(() => {});
    ({ durable } = journal.append(entries.slice(0, BATCH_RECORDS)));
  }
  for (const { producerId, epoch: producerEpoch } of partition.producers.openTransactions()) {
    const open = offsets.openOf(producerId).map(position => ({ kind: 'offset' as const, ...position }));
    if (open.length === 0) continue;
    const appended = journal.appendInTransaction(open, { producerId, producerEpoch });
    open.forEach((entry, i) => offsets.stageOpen(producerId, entry, entry.committed, appended.baseOffset + i));
    durable.catch(() => {});
    ({ durable } = appended);
  }
  await durable;
}
