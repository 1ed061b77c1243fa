import { MillstreamError } from '../base/errors.ts';
import type { BatchHeader } from '../log/batch.ts';
import { addSequence } from '../log/sequence.ts';
import { stampTransactional } from '../log/transactional.ts';
import { ApiKey, type RequestInput, type ResponseBody } from '../protocol/api.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import { awaitTopic } from './await-topic.ts';
import { retrying } from './back-off.ts';
import { BrokerError, refuse } from './broker-error.ts';
import type { Cluster } from './cluster.ts';
import { type CommittedOffset, toCommit } from './group-offsets.ts';
import type { Generation } from './heartbeats.ts';
import { ProduceCombiner } from './produce-combiner.ts';
import type { ProducerIdentity } from './producer-identity.ts';
import { keyOf, type TopicPartition } from './topic-partition.ts';

export interface TransactionalProducerOptions {
  transactionalId: string;
  /** After so long the coordinator aborts what is open. Default 10 s. */
  timeoutMs?: number;
}

export interface TransactionAppend extends TopicPartition {
  /** One finished batch; its bytes are written to. */
  batch: Uint8Array;
}

/** What becomes visible together, or not at all. */
export interface TransactionContent {
  appends: readonly TransactionAppend[];
  /** Of a group; left out: none moves. */
  positions?: { generation: Generation; offsets: readonly CommittedOffset[] };
}

/** Of one append: [from, to). */
export interface AppendedRange extends TopicPartition {
  from: number;
  to: number;
}

/** After these the coordinator's word is that somebody else has the transactional id, or that it gave up on us. */
const FENCED: ReadonlySet<number> = new Set([
  ErrorCode.PRODUCER_FENCED,
  ErrorCode.INVALID_PRODUCER_EPOCH,
  ErrorCode.TRANSACTION_COORDINATOR_FENCED,
] satisfies number[]);

/** The transaction is lost, the same one again may work. */
const AGAIN: ReadonlySet<number> = new Set([
  ErrorCode.TRANSACTION_ABORTABLE,
  ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
  ErrorCode.UNKNOWN_PRODUCER_ID,
  ErrorCode.INVALID_PRODUCER_ID_MAPPING,
] satisfies number[]);

const ATTEMPTS = 3;
const PRODUCE_TIMEOUT_MS = 10_000;

/**
 * One transactional id (KIP-98, KIP-447). A transaction opens when its content is complete and is closed in the same
 * call; one at a time. Whoever calls `take` last owns the id; everybody before is fenced.
 */
export class TransactionalProducer {
  private readonly cluster: Cluster;
  private readonly transactionalId: string;
  private readonly timeoutMs: number;
  private readonly combiner: ProduceCombiner;
  private identity: ProducerIdentity | null = null;
  /** A transaction may be open: it is ended by a new epoch before the next one begins. */
  private isStale = false;
  private readonly sequences = new Map<string, number>();

  constructor(cluster: Cluster, options: TransactionalProducerOptions) {
    this.cluster = cluster;
    this.transactionalId = options.transactionalId;
    this.timeoutMs = options.timeoutMs ?? 10_000;
    this.combiner = new ProduceCombiner(cluster, -1, PRODUCE_TIMEOUT_MS, options.transactionalId);
  }

  /** Fences whoever had the id and ends what that left open. Retried until the signal is aborted. */
  async take(signal: AbortSignal): Promise<void> {
    await this.renew(null, signal);
  }

  /**
   * All or nothing, durable when it resolves. While the coordinator cannot be reached the outcome may be open: that is
   * waited for, until the signal is aborted. Kind `conflict`, code FENCED: another owner. Else BrokerError, and
   * nothing was committed; kind `conflict` with the codes of a generation that is over.
   */
  async commit(content: TransactionContent, signal: AbortSignal): Promise<AppendedRange[]> {
    await this.check(content.appends);
    for (let attempt = 1; ; attempt++) {
      try {
        if (!this.identity || this.isStale) await this.renew(this.identity, signal);
        return await this.once(content, signal);
      } catch (error) {
        if (error instanceof BrokerError && FENCED.has(error.errorCode)) throw this.fenced(error);
        if (error instanceof BrokerError && error.errorCode === ErrorCode.INVALID_PRODUCER_ID_MAPPING) {
          this.identity = null;
        } else if (this.isStale && !signal.aborted) {
          // Ends it now: readers of its outputs would wait for the timeout.
          await this.renew(this.identity, signal).catch(() => {});
        }
        const mayWork = error instanceof BrokerError && AGAIN.has(error.errorCode);
        if (!mayWork || attempt === ATTEMPTS || signal.aborted) throw error;
      }
    }
  }

  /** Kind `invalid` for topics and partitions that are not there, before anything is begun. */
  private async check(appends: readonly TransactionAppend[]): Promise<void> {
    for (const { topic, partition } of new Map(appends.map(one => [keyOf(one), one])).values()) {
      const found = await awaitTopic(this.cluster, topic, false).catch((error: unknown) => {
        if (error instanceof BrokerError && !error.retriable) throw noSuch(`topic ${topic}`, error);
        throw error;
      });
      if (!found.partitions[partition]) throw noSuch(`partition ${topic}/${partition}`);
    }
  }

  private async once({ appends, positions }: TransactionContent, signal: AbortSignal): Promise<AppendedRange[]> {
    this.isStale = true;
    await this.addPartitions(appends, signal);
    const ranges = await this.append(appends);
    const own = this.own();
    if (positions) {
      const body = { ...own, groupId: positions.generation.group };
      await this.ask(ApiKey.AddOffsetsToTxn, body, answer => answer.errorCode, signal);
      await this.addOffsets(positions.generation, positions.offsets, signal);
    }
    await this.ask(
      ApiKey.EndTxn,
      { ...own, committed: true },
      answer => answer.errorCode,
      signal,
      Number.POSITIVE_INFINITY,
    );
    this.isStale = false;
    return ranges;
  }

  private async addPartitions(appends: readonly TransactionAppend[], signal: AbortSignal): Promise<void> {
    const topics = Array.from(
      Map.groupBy(appends, one => one.topic),
      ([name, own]) => ({ name, partitions: [...new Set(own.map(one => one.partition))] }),
    );
    const { transactionalId, producerId, producerEpoch } = this.own();
    const body = {
      v3AndBelowTransactionalId: transactionalId,
      v3AndBelowProducerId: producerId,
      v3AndBelowProducerEpoch: producerEpoch,
      v3AndBelowTopics: topics,
    };
    await this.ask(
      ApiKey.AddPartitionsToTxn,
      body,
      answer => {
        const codes = answer.resultsByTopicV3AndBelow.flatMap(one =>
          one.resultsByPartition.map(each => each.partitionErrorCode),
        );
        // With one refused the others are answered "operation not attempted".
        return codes.find(code => code !== 0 && code !== ErrorCode.OPERATION_NOT_ATTEMPTED) ?? Math.max(0, ...codes);
      },
      signal,
    );
  }

  /** One batch of each partition at a time, in order; what is sent again carries the same sequence, so is stored once. */
  private async append(appends: readonly TransactionAppend[]): Promise<AppendedRange[]> {
    const ranges: AppendedRange[] = [];
    const indexed = appends.map((append, index) => ({ ...append, index }));
    await Promise.all(
      Array.from(Map.groupBy(indexed, keyOf).values(), async own => {
        for (const { topic, partition, batch, index } of own) {
          const key = keyOf({ topic, partition });
          const sequence = this.sequences.get(key) ?? 0;
          const [header] = stampTransactional(batch, this.own(), sequence);
          const count = (header as BatchHeader).lastOffsetDelta + 1;
          const from = await this.produce(topic, partition, batch);
          this.sequences.set(key, addSequence(sequence, count));
          ranges[index] = { topic, partition, from, to: from + count };
        }
      }),
    );
    return ranges;
  }

  private produce(topic: string, partition: number, batch: Uint8Array): Promise<number> {
    return retrying(
      { ...this.cluster.backOff, fromMs: 20, forMs: this.timeoutMs },
      async () => {
        const leader = await this.cluster.leaderOf(topic, partition);
        const answer = await this.combiner.send(leader, topic, partition, batch);
        refuse(answer.errorCode, `${topic}-${partition}`, answer.errorMessage);
        return answer.baseOffset;
      },
      () => this.cluster.forgetTopic(topic),
    );
  }

  /** To the group's coordinator. With a generation that is over it refuses, and so nothing is committed (KIP-447). */
  private async addOffsets(
    { group, generationId, memberId, instanceId }: Generation,
    offsets: readonly CommittedOffset[],
    signal: AbortSignal,
  ): Promise<void> {
    const topics = toCommit(offsets);
    await this.cluster.retrying(
      async () => {
        const answer = await this.cluster.toCoordinator(group, ApiKey.TxnOffsetCommit, {
          ...this.own(),
          groupId: group,
          generationId,
          memberId,
          groupInstanceId: instanceId,
          topics,
        });
        for (const topic of answer.topics) {
          for (const one of topic.partitions) refuse(one.errorCode, `commit of ${topic.name}-${one.partitionIndex}`);
        }
      },
      signal,
      this.timeoutMs,
    );
  }

  /** With an identity of ours: its next epoch, if we still own the id. Without: whoever owned it does no more. */
  private async renew(current: ProducerIdentity | null, signal: AbortSignal): Promise<void> {
    let identity: ProducerIdentity | null = null;
    const { transactionalId, timeoutMs: transactionTimeoutMs } = this;
    const body = {
      transactionalId,
      transactionTimeoutMs,
      producerId: current?.producerId ?? -1,
      producerEpoch: current?.producerEpoch ?? -1,
    };
    const read = (answer: ResponseBody<typeof ApiKey.InitProducerId>): number => {
      identity = { producerId: answer.producerId, producerEpoch: answer.producerEpoch };
      return answer.errorCode;
    };
    await this.ask(ApiKey.InitProducerId, body, read, signal, Number.POSITIVE_INFINITY);
    this.identity = identity;
    this.isStale = false;
    this.sequences.clear();
  }

  /** Asks the id's coordinator; CONCURRENT_TRANSACTIONS (markers are still being written) lasts some milliseconds. */
  private ask<K extends ApiKey>(
    apiKey: K,
    body: RequestInput<K>,
    errorCodeOf: (answer: ResponseBody<K>) => number,
    signal: AbortSignal,
    forMs = this.timeoutMs,
  ): Promise<void> {
    return retrying(
      { ...this.cluster.backOff, fromMs: 10, forMs },
      async () => {
        const connection = await this.cluster.coordinator(this.transactionalId, 1);
        const answer = await connection.send(apiKey, body);
        refuse(errorCodeOf(answer), `transactional id ${this.transactionalId}`);
      },
      error => {
        if (!(error instanceof BrokerError && error.errorCode === ErrorCode.CONCURRENT_TRANSACTIONS)) {
          this.cluster.forgetCoordinator(this.transactionalId, 1);
        }
      },
      signal,
    );
  }

  private own(): ProducerIdentity & { transactionalId: string } {
    if (!this.identity) throw new MillstreamError('internal', 'INTERNAL', 'the transactional id was not taken');
    return { ...this.identity, transactionalId: this.transactionalId };
  }

  private fenced(cause: BrokerError): MillstreamError {
    const message = `transactional id ${this.transactionalId} has another owner, or its transaction timed out`;
    return new MillstreamError('conflict', 'FENCED', message, { cause });
  }
}

function noSuch(what: string, cause?: unknown): MillstreamError {
  return new MillstreamError('invalid', 'UNKNOWN_TOPIC_OR_PARTITION', `there is no ${what}`, { cause });
}
