import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { BrokerConfig } from '../config.ts';
import type { Coordinator } from '../groups/coordinator.ts';
import { refused } from '../kafka-error.ts';
import type { ProducerIds } from '../producer-ids.ts';
import type { Topics } from '../topics.ts';
import { decideEnd } from './end-decision.ts';
import { checkExpected, fenced, nextIdentity } from './identity.ts';
import { appendMarkers } from './markers.ts';
import { headersOfNotes, type MarkerNote } from './notes.ts';
import { TransactionOwner } from './owner.ts';
import { recover } from './recovery.ts';
import { TransactionStore } from './store.ts';
import {
  isExhausted,
  MAX_EPOCH,
  type Outcome,
  type PartitionKey,
  type ProducerIdentity,
  Transaction,
} from './transaction.ts';
import { endsHeader } from './transaction-records.ts';

/** How long after a marker could not be written (no space) it is tried again. */
const RETRY_MS = 1000;

export interface TransactionsOptions {
  topics: Topics;
  groups: Coordinator;
  producerIds: ProducerIds;
  config: BrokerConfig;
  clock: Clock;
  logger: Logger;
}

export interface EndRequest extends ProducerIdentity {
  transactionalId: string;
  outcome: Outcome;
  /** The client knows that the epoch grows with each transaction (KIP-890). */
  bumps: boolean;
}

/** What a transaction's end makes of its producer. */
interface Ending {
  outcome: Outcome;
  /** `same`: as it was; `bump`: the next epoch, the producer is told; `fence`: the next epoch, it is not. */
  epoch: 'same' | 'bump' | 'fence';
  /** What the markers of a commit carry besides. */
  notes?: readonly MarkerNote[];
}

/**
 * Transactions (KIP-98, KIP-360, KIP-890). A commit is two dependent syncs: everything that the transaction wrote is
 * durable, then one PREPARE_COMMIT record is: the commit point. Markers follow and are not waited for; recovery writes
 * them again. Requests for one transactional id run one behind the other, so no client is ever told to come back
 * because another request is under way.
 */
export class Transactions {
  private readonly options: TransactionsOptions;
  private readonly store: TransactionStore;
  private readonly byId = new Map<string, Transaction>();
  private closed = false;

  private constructor(options: TransactionsOptions) {
    this.options = options;
    this.store = new TransactionStore(options);
  }

  /** Reads back what is stored, ends what a crash left half ended, and aborts what belongs to nobody. */
  static async open(options: TransactionsOptions): Promise<Transactions> {
    const transactions = new Transactions(options);
    const { byId, store } = transactions;
    await store.load(byId);
    await recover({ ...options, byId, store });
    for (const transaction of byId.values()) {
      if (transaction.state === 'Ongoing') transactions.startTimer(transaction);
    }
    return transactions;
  }

  list(): Transaction[] {
    return [...this.byId.values()];
  }

  get(transactionalId: string): Transaction | undefined {
    return this.byId.get(transactionalId);
  }

  /**
   * InitProducerId: ends what a predecessor left open, fences it, and gives out the id's producer. `expected` is who the
   * producer says that it is, null for a new one. Kind `invalid`: INVALID_REQUEST, INVALID_TRANSACTION_TIMEOUT,
   * PRODUCER_FENCED.
   */
  async init(id: string, timeoutMs: number, expected: ProducerIdentity | null): Promise<ProducerIdentity> {
    if (id === '') throw refused('INVALID_REQUEST', 'A transactional id must not be empty.');
    if (timeoutMs <= 0 || timeoutMs > this.options.config.transactionMaxTimeoutMs) {
      throw refused('INVALID_TRANSACTION_TIMEOUT', `The transaction timeout ${timeoutMs} ms is not allowed.`);
    }
    await this.store.open();
    let transaction = this.byId.get(id);
    if (!transaction) this.byId.set(id, (transaction = new Transaction(id)));
    const found = transaction;
    return found.inTurn(() => this.initInTurn(found, timeoutMs, expected));
  }

  private async initInTurn(
    transaction: Transaction,
    timeoutMs: number,
    expected: ProducerIdentity | null,
  ): Promise<ProducerIdentity> {
    const { producerIds, clock } = this.options;
    const take = (): Promise<number> => producerIds.take();
    checkExpected(transaction, expected);
    if (transaction.isPrepared) this.finish(transaction);
    const isCurrent = expected !== null && transaction.isOf(expected);
    if (transaction.state === 'Ongoing') {
      // A request that came again, while its producer already went on with the first answer.
      if (expected && !isCurrent) throw fenced(transaction, expected);
      await this.end(transaction, { outcome: 'abort', epoch: 'fence' });
    }
    if (transaction.producerId === -1) transaction.producerId = await take();
    const next = await nextIdentity(transaction, isCurrent ? identityOf(transaction) : expected, take);
    if (isCurrent) next.lastEpoch = expected.producerEpoch;
    await transaction.settled;
    const before = { ...transaction.toStore(), lastEpoch: transaction.lastEpoch };
    Object.assign(transaction, next, { timeoutMs, state: 'Empty', updatedAt: clock.now(), startedAt: -1 });
    try {
      await this.store.save(transaction);
    } catch (error) {
      const { producerId, producerEpoch, previousProducerId, lastEpoch, state } = before;
      Object.assign(transaction, { producerId, producerEpoch, previousProducerId, lastEpoch, state });
      throw error;
    }
    return identityOf(transaction);
  }

  /** The transaction of a producer that may write. Kind `invalid`: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED. */
  require(transactionalId: string, producer: ProducerIdentity): Transaction {
    if (transactionalId === '') throw refused('INVALID_REQUEST', 'A transactional id must not be empty.');
    const transaction = this.byId.get(transactionalId);
    if (!transaction || transaction.producerId !== producer.producerId) {
      throw refused(
        'INVALID_PRODUCER_ID_MAPPING',
        `Transactional id '${transactionalId}' does not belong to producer ${producer.producerId}.`,
      );
    }
    if (transaction.producerEpoch !== producer.producerEpoch) {
      throw fenced(transaction, producer);
    }
    return transaction;
  }

  /** Adds partitions, beginning a transaction if none is open; durable when it resolves. */
  async add(transactionalId: string, producer: ProducerIdentity, keys: readonly PartitionKey[]): Promise<void> {
    const found = this.require(transactionalId, producer);
    await found.inTurn(async () => {
      this.require(transactionalId, producer);
      if (found.isPrepared) this.finish(found);
      if (found.state === 'Ongoing' && keys.every(key => found.has(key))) return;
      this.begin(found, 0);
      for (const key of keys) found.add(key);
      await found.settled;
      await this.store.save(found);
    });
  }

  /**
   * Lets a transactional write to a partition pass, in this turn. `implicit`: the write itself adds the partition
   * (KIP-890). Kind `invalid`: as `require`, INVALID_TXN_STATE, CONCURRENT_TRANSACTIONS.
   */
  admit(transactionalId: string, producer: ProducerIdentity, key: PartitionKey, implicit: boolean): void {
    const transaction = this.require(transactionalId, producer);
    if (implicit) {
      if (transaction.ending || transaction.isPrepared) {
        throw refused('CONCURRENT_TRANSACTIONS', `The transaction of '${transactionalId}' is just ending.`);
      }
      if (transaction.state === 'Ongoing' && transaction.has(key)) return;
      this.begin(transaction, 2);
      transaction.add(key);
      this.saveLater(transaction);
      return;
    }
    if (transaction.state === 'Ongoing' && !transaction.ending && transaction.has(key)) return;
    throw refused(
      'INVALID_TXN_STATE',
      `Partition ${key.topic}-${key.partition} was not added to the transaction of '${transactionalId}'.`,
    );
  }

  /** Begins a transaction if none is open. */
  begin(transaction: Transaction, clientVersion: number): void {
    if (transaction.state === 'Ongoing') return;
    transaction.state = 'Ongoing';
    transaction.clientVersion = clientVersion;
    transaction.startedAt = transaction.updatedAt = this.options.clock.now();
    transaction.partitions = new Map();
    this.startTimer(transaction);
  }

  /** EndTxn: resolves once the outcome is durable and the markers are appended, with the producer's next identity. */
  async endRequested(request: EndRequest): Promise<ProducerIdentity> {
    const { transactionalId, outcome, bumps } = request;
    if (transactionalId === '') throw refused('INVALID_REQUEST', 'A transactional id must not be empty.');
    const transaction = this.byId.get(transactionalId);
    if (!transaction) throw refused('INVALID_PRODUCER_ID_MAPPING', `Nobody has transactional id '${transactionalId}'.`);
    return transaction.inTurn(async () => {
      const decision = decideEnd(transaction, request, outcome, bumps);
      if (decision === 'again') this.finish(transaction);
      if (decision === 'bump') this.begin(transaction, 2);
      if (decision === 'end' || decision === 'bump') {
        await this.end(transaction, { outcome, epoch: bumps ? 'bump' : 'same' });
      }
      return identityOf(transaction);
    });
  }

  /** In turn: ends the open transaction. When it rejects, the transaction is still open, or prepared. */
  async end(transaction: Transaction, { outcome, epoch, notes = [] }: Ending): Promise<void> {
    const { topics, clock, producerIds } = this.options;
    const before = transaction.toStore();
    transaction.ending = true;
    try {
      const bumped = epoch === 'same' ? before.producerEpoch : Math.min(before.producerEpoch + 1, MAX_EPOCH);
      const rotated = epoch === 'bump' && isExhausted(before.producerEpoch) ? await producerIds.take() : -1;
      const partitions = before.partitions.flatMap(
        ({ topic, partition }) => topics.get(topic)?.partitions[partition] ?? [],
      );
      if (outcome === 'commit') await Promise.all(partitions.map(p => p.durable(before.producerId)));
      await transaction.settled;
      const ends = partitions.map(({ topic, index, log }) => ({
        topic: topic.name,
        partition: index,
        end: log.endOffset,
      }));
      transaction.state = outcome === 'commit' ? 'PrepareCommit' : 'PrepareAbort';
      transaction.producerEpoch = bumped;
      transaction.updatedAt = clock.now();
      if (rotated >= 0) Object.assign(transaction, { nextProducerId: rotated, nextProducerEpoch: 0 });
      transaction.notes = notes;
      await this.store.save(transaction, [endsHeader(ends), ...headersOfNotes(notes)]);
    } catch (error) {
      transaction.state = 'Ongoing';
      transaction.notes = [];
      transaction.producerEpoch = before.producerEpoch;
      Object.assign(transaction, { nextProducerId: -1, nextProducerEpoch: -1 });
      throw error;
    } finally {
      transaction.ending = false;
    }
    transaction.timer?.cancel();
    transaction.timer = null;
    if (epoch !== 'same') transaction.lastEpoch = before.producerEpoch;
    this.finish(transaction);
  }

  /** In turn: writes the markers of a decided transaction that are missing, and completes it. What it throws (no
   * space) leaves the transaction prepared; it is tried again by itself. */
  private finish(transaction: Transaction): void {
    let durable: Promise<void>;
    try {
      durable = appendMarkers(transaction, this.options);
    } catch (error) {
      this.options.clock.setTimer(RETRY_MS, () => this.finishLater(transaction));
      throw error;
    }
    void this.store.complete(transaction, durable);
  }

  private finishLater(transaction: Transaction): void {
    if (this.closed) return;
    const retry = transaction.inTurn(async () => {
      if (transaction.isPrepared) this.finish(transaction);
    });
    retry.catch((error: unknown) => {
      this.options.logger.warn('markers of a transaction could not be written yet', { id: transaction.id, error });
    });
  }

  private saveLater(transaction: Transaction): void {
    void transaction.settled.then(() => {
      if (this.closed || transaction.state !== 'Ongoing' || transaction.ending) return;
      // Not waited for: recovery finds the transaction in the partitions that it wrote to.
      this.store.save(transaction).catch(() => {});
    });
  }

  private startTimer(transaction: Transaction): void {
    const { clock, logger } = this.options;
    const { startedAt, timeoutMs } = transaction;
    transaction.timer?.cancel();
    const left = Math.max(0, startedAt + timeoutMs - clock.now());
    transaction.timer = clock.setTimer(left, () => {
      const aborting = transaction.inTurn(async () => {
        if (this.closed || transaction.state !== 'Ongoing' || transaction.startedAt !== startedAt) return;
        logger.info('a transaction took longer than its timeout and is aborted', { id: transaction.id, timeoutMs });
        await this.end(transaction, { outcome: 'abort', epoch: 'fence' });
      });
      aborting.catch((error: unknown) => {
        logger.warn('a transaction that took too long could not be aborted', { id: transaction.id, error });
        if (!this.closed && transaction.state === 'Ongoing') {
          transaction.timer = clock.setTimer(RETRY_MS, () => this.startTimer(transaction));
        }
      });
    });
  }

  /** For the engine in this process: takes over the id, ending what a predecessor left open. */
  async own(transactionalId: string, timeoutMs = 60_000): Promise<TransactionOwner> {
    const identity = await this.init(transactionalId, timeoutMs, null);
    const transaction = this.byId.get(transactionalId) as Transaction;
    return new TransactionOwner({ ...this.options, transactions: this, transaction, identity });
  }

  /** Forgets ids that had no transaction for transactional.id.expiration.ms; those of pipelines stay. */
  async expire(): Promise<void> {
    const { clock, config } = this.options;
    const before = clock.now() - config.transactionalIdExpirationMs;
    for (const transaction of this.list()) {
      const isIdle = transaction.state !== 'Ongoing' && !transaction.isPrepared;
      if (!isIdle || transaction.updatedAt > before || transaction.id.startsWith('millstream.')) continue;
      await transaction.inTurn(async () => {
        if (transaction.state === 'Ongoing' || transaction.isPrepared || transaction.updatedAt > before) return;
        await transaction.settled;
        this.byId.delete(transaction.id);
        await this.store.remove(transaction.id);
      });
    }
  }

  close(): void {
    this.closed = true;
    for (const { timer } of this.byId.values()) timer?.cancel();
  }
}

function identityOf({ producerId, producerEpoch }: Transaction): ProducerIdentity {
  return { producerId, producerEpoch };
}
