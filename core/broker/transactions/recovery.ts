import type { Logger } from '../../base/logger.ts';
import type { Partition } from '../partition.ts';
import { appendMarker, appendMarkers, type MarkersOptions } from './markers.ts';
import type { TransactionStore } from './store.ts';
import type { Transaction } from './transaction.ts';
import { endOf } from './transaction-records.ts';

export interface RecoveryOptions extends MarkersOptions {
  byId: ReadonlyMap<string, Transaction>;
  store: TransactionStore;
  logger: Logger;
}

/**
 * Brings logs and coordinator together before anybody is served. A decision that is stored is carried out where its
 * marker is missing. Other open transactions are what the logs say: one whose producer is current goes on (its timeout
 * runs), whether the coordinator's record of it survived or not; one of a fenced or unknown producer is aborted.
 */
export async function recover(options: RecoveryOptions): Promise<void> {
  const { byId, store, logger, topics, clock } = options;
  const decided = [...byId.values()].filter(transaction => transaction.isPrepared);
  const completed: Promise<void>[] = [];
  for (const transaction of decided) {
    const stored = transaction.found;
    const markers = appendMarkers(transaction, options, key => (stored ? endOf(stored, key) : Infinity));
    completed.push(store.complete(transaction, markers));
  }
  // Durable before a producer begins anew: else the next recovery could take new records for old ones.
  await Promise.all(completed);
  const current = new Map([...byId.values()].map(transaction => [transaction.producerId, transaction]));
  const aborting: Promise<void>[] = [];
  let continued = 0;
  for (const partition of topics.list().flatMap(topic => topic.partitions)) {
    for (const { producerId, epoch } of partition.producers.openTransactions()) {
      const transaction = current.get(producerId);
      if (transaction && transaction.producerEpoch === epoch) {
        goOn(transaction, partition, clock.now());
        continued++;
        continue;
      }
      const producerEpoch = Math.max(epoch, transaction?.producerEpoch ?? -1);
      aborting.push(appendMarker(partition, { producerId, producerEpoch, outcome: 'abort' }, options));
    }
  }
  await Promise.all(aborting);
  if (decided.length + aborting.length + continued === 0) return;
  logger.info('transactions that the last stop left open were found', {
    completed: decided.length,
    aborted_in_partitions: aborting.length,
    open_in_partitions: continued,
  });
}

function goOn(transaction: Transaction, partition: Partition, now: number): void {
  if (transaction.state !== 'Ongoing') {
    transaction.state = 'Ongoing';
    transaction.partitions = new Map();
    transaction.startedAt = now;
  }
  if (transaction.startedAt < 0) transaction.startedAt = now;
  transaction.add({ topic: partition.topic.name, partition: partition.index });
}
