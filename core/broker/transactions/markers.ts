import type { Clock } from '../../base/clock.ts';
import type { Header } from '../../log/record.ts';
import type { Coordinator } from '../groups/coordinator.ts';
import type { Partition } from '../partition.ts';
import type { Topics } from '../topics.ts';
import type { Outcome, PartitionKey, Transaction } from './transaction.ts';

export interface MarkersOptions {
  topics: Topics;
  groups: Coordinator;
  clock: Clock;
}

/** How a producer's transaction ends in one partition. */
interface Ending {
  producerId: number;
  producerEpoch: number;
  outcome: Outcome;
  /** Of the marker. */
  headers?: readonly Header[];
}

/** There is one coordinator, for ever. */
const COORDINATOR_EPOCH = 0;

/**
 * Ends a decided transaction in every partition where it is still open; below `endOf` only, as what lies above belongs
 * to the producer's next one. All in this turn: last stable offsets and the group's positions move together. Returns
 * when the markers are durable. Throws what the log throws; what was written stays, the rest may be tried again.
 */
export function appendMarkers(
  transaction: Transaction,
  options: MarkersOptions,
  endOf: (key: PartitionKey) => number = () => Infinity,
): Promise<void> {
  const outcome: Outcome = transaction.state === 'PrepareCommit' ? 'commit' : 'abort';
  const { producerId, producerEpoch, notes } = transaction;
  const durables: Promise<void>[] = [];
  for (const key of transaction.partitions.values()) {
    const partition = options.topics.get(key.topic)?.partitions[key.partition];
    const entry = partition?.producers.get(producerId);
    if (!partition || !entry || entry.openFrom < 0 || entry.openFrom >= endOf(key)) continue;
    const own = notes.filter(({ topic, partition: index }) => topic === key.topic && index === key.partition);
    const headers = outcome === 'commit' ? own.map(({ header }) => header) : [];
    durables.push(appendMarker(partition, { producerId, producerEpoch, outcome, headers }, options));
  }
  const all = Promise.all(durables).then(() => {});
  all.catch(() => {});
  return all;
}

export function appendMarker(
  partition: Partition,
  { producerId, producerEpoch, outcome, headers = [] }: Ending,
  { groups, clock }: MarkersOptions,
): Promise<void> {
  const { durable } = partition.appendMarker({
    kind: outcome,
    coordinatorEpoch: COORDINATOR_EPOCH,
    producerId,
    producerEpoch,
    timestamp: clock.now(),
    headers,
  });
  if (groups.isJournal(partition)) groups.endTransaction(producerId, outcome);
  return durable;
}
