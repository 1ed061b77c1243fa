import type { Header } from '../../log/record.ts';
import { decode } from '../../protocol/codec.ts';
import { TransactionLogKey, TransactionLogValue } from '../../protocol/messages/internal-records.ts';
import { decodeVersioned, encodeVersioned } from '../../protocol/versioned.ts';
import type { JournalFormat, JournalRecord } from '../journal.ts';
import type { PartitionKey, StoredTransaction, TransactionState } from './transaction.ts';

export const TRANSACTIONS_TOPIC = '__transaction_state';

/** By the number that Kafka writes. */
const STATES: readonly (TransactionState | null)[] = [
  'Empty',
  'Ongoing',
  'PrepareCommit',
  'PrepareAbort',
  'CompleteCommit',
  'CompleteAbort',
];
const VALUE_VERSION = 1;

/**
 * A PREPARE record carries where each partition's log ended when it was written, as JSON: [[topic, partition, offset]].
 * Everything of the transaction lies below. What recovery finds open above belongs to the producer's next transaction:
 * its record may have been lost with the same crash.
 */
const ENDS_HEADER = 'millstream.ends';

export type TransactionEntry = { transactionalId: string; stored: StoredTransaction | null };

export const TRANSACTION_RECORDS: JournalFormat<TransactionEntry> = {
  name: TRANSACTIONS_TOPIC,
  encode: ({ transactionalId, stored }) => ({
    key: encodeVersioned(TransactionLogKey, 0, { transactionalId }),
    value: stored && encodeValue(stored),
    headers: stored?.headers ?? [],
  }),
  decode: decodeRecord,
};

export function endsHeader(ends: readonly (PartitionKey & { end: number })[]): Header {
  return [ENDS_HEADER, Buffer.from(JSON.stringify(ends.map(({ topic, partition, end }) => [topic, partition, end])))];
}

/** Infinity for a partition that the record says nothing about. */
export function endOf(stored: StoredTransaction, key: PartitionKey): number {
  const value = stored.headers.find(([name]) => name === ENDS_HEADER)?.[1];
  if (!value) return Infinity;
  const ends = JSON.parse(Buffer.from(value).toString()) as [string, number, number][];
  return ends.find(([topic, partition]) => topic === key.topic && partition === key.partition)?.[2] ?? Infinity;
}

function encodeValue(stored: StoredTransaction): Uint8Array {
  const idle = stored.state === 'Empty' || stored.state.startsWith('Complete');
  return encodeVersioned(TransactionLogValue, VALUE_VERSION, {
    producerId: stored.producerId,
    previousProducerId: stored.previousProducerId,
    nextProducerId: stored.nextProducerId,
    producerEpoch: stored.producerEpoch,
    nextProducerEpoch: stored.nextProducerEpoch,
    transactionTimeoutMs: stored.timeoutMs,
    transactionStatus: STATES.indexOf(stored.state),
    transactionPartitions: idle
      ? null
      : [...Map.groupBy(stored.partitions, ({ topic }) => topic)].map(([topic, own]) => ({
          topic,
          partitionIds: own.map(({ partition }) => partition),
        })),
    transactionLastUpdateTimestampMs: stored.updatedAt,
    transactionStartTimestampMs: stored.startedAt,
    clientTransactionVersion: stored.clientVersion,
  });
}

function decodeRecord({ key, value, headers }: JournalRecord): TransactionEntry | null {
  if (!key || key.length < 2 || key[0] !== 0 || key[1] !== 0) return null;
  const { transactionalId } = decode(TransactionLogKey, 0, key, 2);
  if (!value) return { transactionalId, stored: null };
  const read = decodeVersioned(TransactionLogValue, value);
  const state = STATES[read.transactionStatus];
  // Kafka's Dead and PrepareEpochFence are never written.
  if (!state) return { transactionalId, stored: null };
  return {
    transactionalId,
    stored: {
      transactionalId,
      producerId: read.producerId,
      producerEpoch: read.producerEpoch,
      previousProducerId: read.previousProducerId,
      nextProducerId: read.nextProducerId,
      nextProducerEpoch: read.nextProducerEpoch,
      timeoutMs: read.transactionTimeoutMs,
      state,
      partitions: (read.transactionPartitions ?? []).flatMap(({ topic, partitionIds }) =>
        partitionIds.map(partition => ({ topic, partition })),
      ),
      updatedAt: read.transactionLastUpdateTimestampMs,
      startedAt: read.transactionStartTimestampMs,
      clientVersion: read.clientTransactionVersion,
      // Views of what was read from the log: kept for long.
      headers: (headers ?? []).map(([name, bytes]) => [name, bytes && Uint8Array.from(bytes)]),
    },
  };
}
