import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Header } from '../../log/record.ts';
import type { BrokerConfig } from '../config.ts';
import { openInternal, settleInternal } from '../internal-topic.ts';
import { Journal } from '../journal.ts';
import type { Topics } from '../topics.ts';
import { Transaction } from './transaction.ts';
import { TRANSACTION_RECORDS, TRANSACTIONS_TOPIC, type TransactionEntry } from './transaction-records.ts';

export interface StoreOptions {
  topics: Topics;
  config: BrokerConfig;
  clock: Clock;
  logger: Logger;
}

/** The internal topic `__transaction_state`; made when the first transactional id comes. */
export class TransactionStore {
  private readonly options: StoreOptions;
  private journal: Journal<TransactionEntry> | null = null;

  constructor(options: StoreOptions) {
    this.options = options;
  }

  async load(into: Map<string, Transaction>): Promise<void> {
    const topic = this.options.topics.get(TRANSACTIONS_TOPIC);
    if (!topic) return;
    await this.open();
    await this.journal?.load({
      entry: ({ transactionalId, stored }) => {
        if (stored) into.set(transactionalId, Transaction.restore(stored));
        else into.delete(transactionalId);
      },
    });
  }

  async open(): Promise<void> {
    if (this.journal) return;
    const { topics, config, clock, logger } = this.options;
    const partition = await openInternal(topics, TRANSACTIONS_TOPIC, config);
    await settleInternal(topics, TRANSACTIONS_TOPIC, config);
    this.journal ??= new Journal({ partition, clock, logger, format: TRANSACTION_RECORDS });
  }

  /** Writes the transaction as it is now, in this turn; resolves when that is durable. */
  async save(transaction: Transaction, headers: readonly Header[] = []): Promise<void> {
    if (!this.journal) throw new TypeError('__transaction_state is not open');
    const stored = transaction.toStore(headers);
    await this.journal.append([{ transactionalId: transaction.id, stored }]).durable;
  }

  async remove(transactionalId: string): Promise<void> {
    await this.journal?.append([{ transactionalId, stored: null }]).durable;
  }

  /**
   * The markers are appended: the transaction is over, and that is stored behind them once they are durable. What is
   * written about this id from then on lies behind it in the journal, so nobody has to wait for that record's own sync:
   * a crash that loses it loses what came later too, and finds the decision and its markers. Resolves when the record is
   * durable; never rejects.
   */
  complete(transaction: Transaction, markers: Promise<void>): Promise<void> {
    if (transaction.nextProducerId >= 0) {
      transaction.previousProducerId = transaction.producerId;
      transaction.producerId = transaction.nextProducerId;
      transaction.producerEpoch = transaction.nextProducerEpoch;
      Object.assign(transaction, { nextProducerId: -1, nextProducerEpoch: -1 });
    }
    transaction.state = transaction.state === 'PrepareCommit' ? 'CompleteCommit' : 'CompleteAbort';
    transaction.partitions = new Map();
    transaction.notes = [];
    transaction.startedAt = -1;
    const entry = { transactionalId: transaction.id, stored: transaction.toStore() };
    const failed = (error: unknown): void => {
      // The decision stands: recovery writes what is missing.
      this.options.logger.warn('the end of a transaction could not be stored', { id: transaction.id, error });
    };
    let durable: Promise<void> | undefined;
    transaction.settled = markers
      .then(() => {
        durable = this.journal?.append([entry]).durable.catch(failed);
      })
      .catch(failed);
    return transaction.settled.then(() => durable);
  }
}
