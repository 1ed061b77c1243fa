import { MillstreamError } from '../../base/errors.ts';
import { stampTransactional } from '../../log/transactional.ts';
import type { Coordinator, OffsetToCommit } from '../groups/coordinator.ts';
import { refused } from '../kafka-error.ts';
import type { Topics } from '../topics.ts';
import type { Transactions } from './coordinator.ts';
import type { MarkerNote } from './notes.ts';
import type { ProducerIdentity, Transaction } from './transaction.ts';

/** What becomes visible together, or not at all. */
export interface OwnCommit {
  /** Finished batches; the bytes belong to the log afterwards. */
  appends: readonly { topic: string; partition: number; batch: Uint8Array }[];
  offsets?: { group: string; positions: readonly OffsetToCommit[] };
  /** What the commit markers carry besides, known once it is known where the appends went (`ranges`, in their order). */
  notes?(ranges: readonly AppendedRange[]): readonly MarkerNote[];
}

/** Where an append went: [from, to). */
export interface AppendedRange {
  topic: string;
  partition: number;
  from: number;
  to: number;
}

export interface OwnerOptions {
  topics: Topics;
  groups: Coordinator;
  transactions: Transactions;
  transaction: Transaction;
  identity: ProducerIdentity;
}

interface Waiting {
  commit: OwnCommit;
  resolve(done: { ranges: AppendedRange[] }): void;
  reject(error: unknown): void;
}

/**
 * The right to commit under one transactional id, for someone in this process. Commits that come while one is under way
 * are merged into the next transaction: they succeed or fail together, in their order.
 */
export class TransactionOwner {
  private readonly options: OwnerOptions;
  private waiting: Waiting[] = [];
  private running = false;
  /** A commit has failed in this turn of the loop: its caller may not have heard of it yet. */
  private failed: { error: unknown } | null = null;

  constructor(options: OwnerOptions) {
    this.options = options;
  }

  /** True once another owner took the id over, or the transaction timed out. */
  get isFenced(): boolean {
    const { transaction, identity } = this.options;
    return !transaction.isOf(identity);
  }

  /** Resolves at the commit point, when all of it is durable and visible. Kind `conflict`, code FENCED: nothing was
   * committed and never will be, someone else owns the id. Other errors: nothing was committed. */
  commit(commit: OwnCommit): Promise<{ ranges: AppendedRange[] }> {
    if (this.failed) return Promise.reject(this.failed.error);
    const { promise, resolve, reject } = Promise.withResolvers<{ ranges: AppendedRange[] }>();
    this.waiting.push({ commit, resolve, reject });
    if (!this.running) void this.run();
    return promise;
  }

  private async run(): Promise<void> {
    this.running = true;
    // In a turn of its own, so that commits of one turn share a transaction.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      const together = this.waiting;
      this.waiting = [];
      try {
        const ranges = await this.options.transaction.inTurn(() => this.commitTogether(together));
        together.forEach((waiting, i) => waiting.resolve({ ranges: ranges[i] as AppendedRange[] }));
      } catch (error) {
        // What came meanwhile builds on what failed, and so does what comes before that is known: it must not overtake it.
        const failed = { error };
        this.failed = failed;
        setImmediate(() => {
          if (this.failed === failed) this.failed = null;
        });
        for (const waiting of [...together, ...this.waiting.splice(0)]) waiting.reject(error);
      }
    }
    this.running = false;
  }

  private async commitTogether(together: readonly Waiting[]): Promise<AppendedRange[][]> {
    const { transactions, transaction } = this.options;
    if (this.isFenced) throw this.fenced();
    // An earlier one could be neither committed nor aborted.
    if (transaction.state === 'Ongoing') await transactions.end(transaction, { outcome: 'abort', epoch: 'same' });
    for (const { commit } of together) this.check(commit);
    transactions.begin(transaction, 0);
    const ranges: AppendedRange[][] = [];
    const notes: MarkerNote[] = [];
    try {
      for (const { commit } of together) {
        const own = commit.appends.map(append => this.append(append));
        ranges.push(own);
        if (commit.offsets) this.stage(commit.offsets);
        notes.push(...(commit.notes?.(own) ?? []));
      }
      await transactions.end(transaction, { outcome: 'commit', epoch: 'same', notes });
      return ranges;
    } catch (error) {
      if (transaction.state === 'CompleteCommit' || transaction.state === 'PrepareCommit') return ranges;
      await this.abort();
      throw error;
    }
  }

  private async abort(): Promise<void> {
    const { transactions, transaction } = this.options;
    try {
      await transactions.end(transaction, { outcome: 'abort', epoch: 'same' });
    } catch {
      // It stays open: aborted before the next commit, by the next owner, by its timeout, or by recovery.
    }
  }

  private check({ appends }: OwnCommit): void {
    const { topics } = this.options;
    for (const { topic, partition } of appends) {
      if (!topics.get(topic)?.partitions[partition]) {
        throw refused('UNKNOWN_TOPIC_OR_PARTITION', `There is no partition ${topic}-${partition}.`);
      }
    }
  }

  private append({ topic, partition, batch }: OwnCommit['appends'][number]): AppendedRange {
    const { topics, transaction, identity } = this.options;
    const target = topics.require(topic).partitions[partition];
    if (!target) throw refused('UNKNOWN_TOPIC_OR_PARTITION', `There is no partition ${topic}-${partition}.`);
    const sequence = target.producers.nextSequence(identity.producerId, identity.producerEpoch);
    const headers = stampTransactional(batch, identity, sequence);
    transaction.add({ topic, partition });
    const { baseOffset, lastOffset } = target.append(batch, headers, 'own');
    return { topic, partition, from: baseOffset, to: lastOffset + 1 };
  }

  private stage({ group, positions }: NonNullable<OwnCommit['offsets']>): void {
    const { groups, transaction, identity } = this.options;
    if (positions.length === 0) return;
    transaction.add(groups.journalKey);
    // Waited for before the commit point, with everything else that the producer wrote to that partition.
    void groups.stageInTransaction(group, identity, positions);
  }

  private fenced(): MillstreamError {
    const { id } = this.options.transaction;
    return new MillstreamError('conflict', 'FENCED', `transactional id '${id}' was taken over by another owner`);
  }
}
