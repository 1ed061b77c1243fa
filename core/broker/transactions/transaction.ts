import type { Timer } from '../../base/clock.ts';
import type { Header } from '../../log/record.ts';
import { type MarkerNote, notesOfHeaders } from './notes.ts';

export type TransactionState =
  | 'Empty'
  | 'Ongoing'
  | 'PrepareCommit'
  | 'PrepareAbort'
  | 'CompleteCommit'
  | 'CompleteAbort';

export type Outcome = 'commit' | 'abort';

export interface PartitionKey {
  topic: string;
  partition: number;
}

/** Who a producer says it is. */
export interface ProducerIdentity {
  producerId: number;
  producerEpoch: number;
}

/** A transaction as it is stored. */
export interface StoredTransaction extends ProducerIdentity {
  transactionalId: string;
  previousProducerId: number;
  /** Identity once the transaction is complete; -1: as it is. */
  nextProducerId: number;
  nextProducerEpoch: number;
  timeoutMs: number;
  state: TransactionState;
  partitions: readonly PartitionKey[];
  /** Wall clock, milliseconds. */
  updatedAt: number;
  startedAt: number;
  /** 2: the producer's epoch grows with each transaction (KIP-890). */
  clientVersion: number;
  /** Kept with the record, ignored by Kafka. */
  headers: readonly Header[];
}

export const MAX_EPOCH = 32767;
/** The last epoch fences: no producer is given it. */
export const isExhausted = (epoch: number): boolean => epoch >= MAX_EPOCH - 1;

/**
 * One transactional id: its producer and where its transaction is.
 *
 *   Empty, Complete* -> Ongoing -> Prepare* (the decision is durable) -> Complete* (markers are appended)
 */
export class Transaction {
  readonly id: string;
  producerId = -1;
  producerEpoch = -1;
  /** The epoch before the last bump that its producer asked for: that request may come again (KIP-360). -1: none. */
  lastEpoch = -1;
  previousProducerId = -1;
  nextProducerId = -1;
  nextProducerEpoch = -1;
  timeoutMs = 0;
  state: TransactionState = 'Empty';
  clientVersion = 0;
  partitions = new Map<string, PartitionKey>();
  updatedAt = 0;
  startedAt = -1;
  /** The end is being prepared: nothing joins the transaction any more. */
  ending = false;
  timer: Timer | null = null;
  /** For the markers of the transaction that is decided. */
  notes: readonly MarkerNote[] = [];
  /** What was found at the start; recovery looks at the headers of a decision that is carried out late. */
  found: StoredTransaction | null = null;
  /** Resolves when the markers of the last transaction are durable and its end is appended to the journal: nothing else
   * about this id may be written before, as it would hide the decision that recovery rewrites markers from. Never
   * rejects. */
  settled: Promise<void> = Promise.resolve();
  private tail: Promise<unknown> = Promise.resolve();

  constructor(id: string) {
    this.id = id;
  }

  static restore(stored: StoredTransaction): Transaction {
    const transaction = new Transaction(stored.transactionalId);
    const { partitions, headers, transactionalId: _, ...fields } = stored;
    Object.assign(transaction, fields);
    transaction.notes = notesOfHeaders(headers);
    for (const key of partitions) transaction.add(key);
    transaction.found = stored;
    return transaction;
  }

  toStore(headers: readonly Header[] = []): StoredTransaction {
    return {
      transactionalId: this.id,
      producerId: this.producerId,
      producerEpoch: this.producerEpoch,
      previousProducerId: this.previousProducerId,
      nextProducerId: this.nextProducerId,
      nextProducerEpoch: this.nextProducerEpoch,
      timeoutMs: this.timeoutMs,
      state: this.state,
      partitions: [...this.partitions.values()],
      updatedAt: this.updatedAt,
      startedAt: this.startedAt,
      clientVersion: this.clientVersion,
      headers,
    };
  }

  /** Operations on one id run one behind the other, so that no client is told of another one under way. */
  inTurn<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.tail.then(action);
    this.tail = turn.catch(() => {});
    return turn;
  }

  add(key: PartitionKey): void {
    this.partitions.set(textOf(key), key);
  }

  has(key: PartitionKey): boolean {
    return this.partitions.has(textOf(key));
  }

  isOf({ producerId, producerEpoch }: ProducerIdentity): boolean {
    return producerId === this.producerId && producerEpoch === this.producerEpoch;
  }

  get isPrepared(): boolean {
    return this.state === 'PrepareCommit' || this.state === 'PrepareAbort';
  }
}

const textOf = ({ topic, partition }: PartitionKey): string => `${topic}/${partition}`;
