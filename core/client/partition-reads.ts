import { sleep } from '../base/clock.ts';
import { ApiKey, type ResponseBody } from '../protocol/api.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import { BrokerError, mayRetry } from './broker-error.ts';
import type { Cluster, Lane } from './cluster.ts';
import { isolationLevel } from './list-offsets.ts';
import type { TopicPartition } from './topic-partition.ts';
import { type VisibleBatches, visibleBatches } from './visible-batches.ts';

export interface PartitionRead extends TopicPartition {
  /** 32 hex digits. A topic of the same name and another id is not read (where the broker speaks of ids). */
  topicId: string;
  from: number;
  maxBytes: number;
  /** Ends the wait. */
  signal: AbortSignal;
  /** Told by every answer: [where the log begins, the last stable offset). */
  onBounds(start: number, stable: number): void;
}

export interface PartitionReadsOptions {
  /** The topic of this name is not there, or has another id. The read goes on waiting. */
  onMissing(topic: string): void;
}

interface Waiting {
  read: PartitionRead;
  maxBytes: number;
  resolve(found: VisibleBatches | null): void;
  reject(error: unknown): void;
}

interface Leader {
  queue: Waiting[];
  idle: Lane[];
  lanes: number;
  scheduled: boolean;
}

type PartitionAnswer = ResponseBody<typeof ApiKey.Fetch>['responses'][number]['partitions'][number];

/** How long a broker holds an answer back for want of records. */
const MAX_WAIT_MS = 250;
/** Polls under way at one leader: a read that comes while others wait for records need not wait for their answer. */
const LANES = 4;
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
/** From 13 on topics are named by id. */
const NEWEST_FETCH = 16;

const MISSING: ReadonlySet<number> = new Set([
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.UNKNOWN_TOPIC_ID,
  ErrorCode.INCONSISTENT_TOPIC_ID,
] satisfies number[]);

/**
 * Reads of committed records, one at a time for a partition, many partitions at once: reads that wait for the same
 * leader share a request. A read ends only with records, an error that another try cannot mend, or its signal.
 */
export class PartitionReads {
  private readonly cluster: Cluster;
  private readonly options: PartitionReadsOptions;
  private readonly leaders = new Map<number, Leader>();
  private readonly lanes = new Set<Lane>();
  private pauseMs = 0;

  constructor(cluster: Cluster, options: PartitionReadsOptions) {
    this.cluster = cluster;
    this.options = options;
  }

  /** Null when the signal was aborted. Throws BrokerError, OFFSET_OUT_OF_RANGE among them. */
  read(read: PartitionRead): Promise<VisibleBatches | null> {
    if (read.signal.aborted) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      const abort = (): void => resolve(null);
      read.signal.addEventListener('abort', abort, { once: true });
      const done = (): void => read.signal.removeEventListener('abort', abort);
      void this.place({
        read,
        maxBytes: read.maxBytes,
        resolve: found => {
          done();
          resolve(found);
        },
        reject: error => {
          done();
          reject(error);
        },
      });
    });
  }

  /** Ends the connections; reads under way are left to their signals. */
  close(): void {
    for (const lane of this.lanes) this.cluster.closeLane(lane);
  }

  private async place(waiting: Waiting): Promise<void> {
    const { topic, partition, signal } = waiting.read;
    while (!signal.aborted) {
      try {
        const nodeId = await this.cluster.leaderOf(topic, partition);
        let leader = this.leaders.get(nodeId);
        if (!leader) this.leaders.set(nodeId, (leader = { queue: [], idle: [], lanes: 0, scheduled: false }));
        leader.queue.push(waiting);
        return this.schedule(nodeId, leader);
      } catch (error) {
        if (!mayRetry(error)) return waiting.reject(error);
        if (error instanceof BrokerError && MISSING.has(error.errorCode)) this.options.onMissing(topic);
        await this.pause(error, topic, signal);
      }
    }
  }

  private schedule(nodeId: number, leader: Leader): void {
    if (leader.scheduled || leader.queue.length === 0) return;
    leader.scheduled = true;
    // In a turn of its own, so that reads of one turn share a request.
    queueMicrotask(() => {
      leader.scheduled = false;
      const lane = leader.idle.pop() ?? this.newLane(leader);
      if (lane === null) return;
      const asked = leader.queue.splice(0).filter(each => !each.read.signal.aborted);
      if (asked.length === 0) return void leader.idle.push(lane);
      void this.ask(nodeId, lane, asked).finally(() => {
        leader.idle.push(lane);
        this.schedule(nodeId, leader);
      });
    });
  }

  private newLane(leader: Leader): Lane | null {
    if (leader.lanes === LANES) return null;
    leader.lanes++;
    const lane = this.cluster.newLane('read');
    this.lanes.add(lane);
    return lane;
  }

  private async ask(nodeId: number, lane: Lane, asked: readonly Waiting[]): Promise<void> {
    try {
      const connection = await this.cluster.broker(nodeId, lane);
      const topics = Array.from(
        Map.groupBy(asked, each => each.read.topicId),
        ([topicId, own]) => ({
          topic: (own[0] as Waiting).read.topic,
          topicId,
          partitions: own.map(({ read, maxBytes }) => ({
            partition: read.partition,
            fetchOffset: read.from,
            partitionMaxBytes: maxBytes,
          })),
        }),
      );
      const maxBytes = Math.max(MAX_ANSWER_BYTES, ...asked.map(each => each.maxBytes));
      const body = { maxWaitMs: MAX_WAIT_MS, minBytes: 1, maxBytes, isolationLevel: COMMITTED, topics };
      const response = await connection.send(ApiKey.Fetch, body, { waitMs: MAX_WAIT_MS, newest: NEWEST_FETCH });
      if (response.errorCode !== ErrorCode.NONE) throw new BrokerError(response.errorCode, 'fetch');
      const answers = new Map<string, PartitionAnswer>();
      for (const { topic, topicId, partitions } of response.responses) {
        for (const one of partitions) answers.set(`${topic || topicId}-${one.partitionIndex}`, one);
      }
      for (const waiting of asked) {
        const { topic, topicId, partition } = waiting.read;
        this.settle(waiting, answers.get(`${topic}-${partition}`) ?? answers.get(`${topicId}-${partition}`));
      }
    } catch (error) {
      for (const waiting of asked) void this.again(waiting, error);
    }
  }

  private settle(waiting: Waiting, answer: PartitionAnswer | undefined): void {
    const { read } = waiting;
    if (!answer) return void this.place(waiting);
    if (answer.errorCode !== ErrorCode.NONE) {
      const where = `${read.topic}-${read.partition} at offset ${read.from}`;
      if (MISSING.has(answer.errorCode)) this.options.onMissing(read.topic);
      return void this.again(waiting, new BrokerError(answer.errorCode, where));
    }
    this.pauseMs = 0;
    read.onBounds(answer.logStartOffset, answer.lastStableOffset);
    const bytes = answer.records ?? new Uint8Array(0);
    const found = visibleBatches(bytes, read.from, answer.abortedTransactions ?? []);
    if (found.next > read.from) return waiting.resolve(found);
    // Bytes without a whole batch in them: the batch is larger than what was asked for.
    if (bytes.length > 0) waiting.maxBytes *= 2;
    void this.place(waiting);
  }

  private async again(waiting: Waiting, error: unknown): Promise<void> {
    if (!mayRetry(error)) return waiting.reject(error);
    await this.pause(error, waiting.read.topic, waiting.read.signal);
    await this.place(waiting);
  }

  private async pause(error: unknown, topic: string, signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.cluster;
    logger.debug('a read is tried again', { topic, error });
    this.cluster.forgetTopic(topic);
    this.pauseMs = Math.min(1000, Math.max(50, this.pauseMs * 2));
    await sleep(clock, this.pauseMs * (1 - random.float() / 2), signal);
  }
}

const COMMITTED = isolationLevel('read_committed');
