import { sleep } from '../base/clock.ts';
import { MillstreamError } from '../base/errors.ts';
import { ApiKey, type ResponseBody } from '../protocol/api.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import { BrokerError, mayRetry } from './broker-error.ts';
import type { Cluster, Lane } from './cluster.ts';
import { type Isolation, isolationLevel, listOffsets } from './list-offsets.ts';
import { keyOf, type TopicPartition } from './topic-partition.ts';
import { type FetchedBatch, visibleBatches } from './visible-batches.ts';

export interface FetchOptions {
  isolation?: Isolation;
  /** How long a broker holds an answer back for want of records. Default 500 ms. */
  maxWaitMs?: number;
  minBytes?: number;
  /** Per answer. Default 16 MiB. */
  maxBytes?: number;
  /** Per partition of an answer. Default 1 MiB. */
  partitionMaxBytes?: number;
  /** What to do when a position is not (or no longer) in the log. Default 'stop': OFFSET_OUT_OF_RANGE is thrown. */
  onGap?: 'stop' | 'earliest' | 'latest';
}

export interface FetchedPartition extends TopicPartition {
  batches: FetchedBatch[];
  /** The position that was asked for; the first batch may begin before it. */
  from: number;
  /** Where the partition is read on. */
  next: number;
  /** End of what a reader can get now: the high watermark, or the last stable offset when reading committed. */
  end: number;
}

interface Position extends TopicPartition {
  next: number;
  maxBytes: number;
}

type Answer = { leader: number; asked: Position[]; response: ResponseBody<typeof ApiKey.Fetch> | null; error: unknown };

/** Reads batches of many partitions, with one poll under way at each of their leaders. */
export class Fetcher {
  private readonly cluster: Cluster;
  private readonly options: Required<FetchOptions>;
  private readonly lane: Lane;
  private readonly positions = new Map<string, Position>();
  private readonly underWay = new Map<number, Promise<Answer>>();
  private pauseMs = 0;

  constructor(cluster: Cluster, options: FetchOptions = {}) {
    this.cluster = cluster;
    this.lane = cluster.newLane('fetch');
    this.options = {
      isolation: 'read_committed',
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes: 16 * 1024 * 1024,
      partitionMaxBytes: 1024 * 1024,
      onGap: 'stop',
      ...options,
    };
  }

  /** Reads this partition from `next` on; also moves a partition that is already read. */
  assign(topic: string, partition: number, next: number): void {
    const position = { topic, partition, next, maxBytes: this.options.partitionMaxBytes };
    this.positions.set(keyOf(position), position);
  }

  /** What is under way for the partition is dropped. */
  unassign(one: TopicPartition): void {
    this.positions.delete(keyOf(one));
  }

  get assigned(): readonly TopicPartition[] {
    return [...this.positions.values()];
  }

  positionOf(one: TopicPartition): number | null {
    return this.positions.get(keyOf(one))?.next ?? null;
  }

  /**
   * Resolves with what the next leader to answer has; an empty list when that is nothing, when nothing is assigned or
   * when the signal is aborted. Broken connections and moved leaders are seen to; other errors are thrown.
   */
  async poll(signal: AbortSignal): Promise<FetchedPartition[]> {
    if (this.pauseMs > 0) await sleep(this.cluster.clock, this.pauseMs, signal);
    if (signal.aborted || this.positions.size === 0) return [];
    try {
      await this.ask();
    } catch (error) {
      return this.recover(error, []);
    }
    const aborted = whenAborted(signal);
    const answer = await Promise.race([...this.underWay.values(), aborted.promise]);
    aborted.release();
    if (answer === null) return [];
    this.underWay.delete(answer.leader);
    if (!answer.response) return this.recover(answer.error, answer.asked);
    return this.take(answer.response, answer.asked);
  }

  close(): void {
    this.positions.clear();
    this.cluster.closeLane(this.lane);
  }

  /** Sends a poll to every leader that has none under way. */
  private async ask(): Promise<void> {
    const wanted = [...this.positions.values()];
    const leaders = await Promise.all(wanted.map(one => this.cluster.leaderOf(one.topic, one.partition)));
    for (const [leader, own] of Map.groupBy(wanted, (_, i) => leaders[i] as number)) {
      if (this.underWay.has(leader)) continue;
      const asked = own.map(one => ({ ...one }));
      const settled = this.request(leader, asked).then(
        (response): Answer => ({ leader, asked, response, error: null }),
        (error: unknown): Answer => ({ leader, asked, response: null, error }),
      );
      this.underWay.set(leader, settled);
    }
  }

  private async request(leader: number, asked: readonly Position[]): Promise<ResponseBody<typeof ApiKey.Fetch>> {
    const { maxWaitMs, minBytes, maxBytes, isolation } = this.options;
    const connection = await this.cluster.broker(leader, this.lane);
    const topics = Array.from(
      Map.groupBy(asked, one => one.topic),
      ([topic, own]) => ({
        topic,
        partitions: own.map(one => ({
          partition: one.partition,
          fetchOffset: one.next,
          partitionMaxBytes: one.maxBytes,
        })),
      }),
    );
    const body = { maxWaitMs, minBytes, maxBytes, isolationLevel: isolationLevel(isolation), topics };
    return connection.send(ApiKey.Fetch, body, { waitMs: maxWaitMs });
  }

  private async take(
    response: ResponseBody<typeof ApiKey.Fetch>,
    asked: readonly Position[],
  ): Promise<FetchedPartition[]> {
    if (response.errorCode !== ErrorCode.NONE) return this.recover(new BrokerError(response.errorCode, 'fetch'), asked);
    const fetched: FetchedPartition[] = [];
    for (const { topic, partitions } of response.responses) {
      for (const answer of partitions) {
        const one = { topic, partition: answer.partitionIndex };
        const position = this.positions.get(keyOf(one));
        const from = asked.find(other => keyOf(other) === keyOf(one))?.next;
        // Unassigned or moved while the answer was on its way.
        if (!position || position.next !== from) continue;
        if (answer.errorCode !== ErrorCode.NONE) await this.recoverPartition(answer.errorCode, position);
        else {
          const committed = this.options.isolation === 'read_committed';
          const bytes = answer.records ?? new Uint8Array(0);
          const { batches, next } = visibleBatches(bytes, from, committed ? (answer.abortedTransactions ?? []) : []);
          // Bytes without a whole batch in them: the batch is larger than what was asked for.
          position.maxBytes =
            next === from && bytes.length > 0 ? position.maxBytes * 2 : this.options.partitionMaxBytes;
          position.next = next;
          const end = committed && answer.lastStableOffset >= 0 ? answer.lastStableOffset : answer.highWatermark;
          fetched.push({ ...one, batches, from, next, end });
        }
      }
    }
    if (fetched.length > 0) this.pauseMs = 0;
    return fetched;
  }

  private async recoverPartition(errorCode: number, position: Position): Promise<void> {
    const error = new BrokerError(errorCode, `${position.topic}-${position.partition} at offset ${position.next}`);
    if (errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) {
      const { onGap, isolation } = this.options;
      if (onGap === 'stop') throw outOfRange(position, error);
      const found = await listOffsets(this.cluster, [position], onGap, isolation);
      position.next = found.get(keyOf(position)) ?? position.next;
      this.cluster.logger.warn('the position was not in the log and has been moved', { ...position, to: onGap });
      return;
    }
    this.recover(error, [position]);
  }

  /** Slows the next poll down and forgets what may be out of date; throws what another try cannot mend. */
  private recover(error: unknown, asked: readonly TopicPartition[]): FetchedPartition[] {
    if (!mayRetry(error)) throw error;
    this.cluster.logger.debug('a fetch is tried again', { error });
    for (const { topic } of asked.length > 0 ? asked : this.positions.values()) this.cluster.forgetTopic(topic);
    this.pauseMs = Math.min(1000, Math.max(50, this.pauseMs * 2));
    return [];
  }
}

function outOfRange(position: Position, cause: BrokerError): MillstreamError {
  const where = `${position.topic}-${position.partition}`;
  return new MillstreamError('invalid', 'OFFSET_OUT_OF_RANGE', `${where} has no offset ${position.next}`, {
    cause,
    help: 'Begin at "earliest" or "latest", or at an offset between the two.',
  });
}

function whenAborted(signal: AbortSignal): { promise: Promise<null>; release(): void } {
  let release = (): void => {};
  const promise = new Promise<null>(resolve => {
    const listener = (): void => resolve(null);
    signal.addEventListener('abort', listener, { once: true });
    release = () => signal.removeEventListener('abort', listener);
  });
  return { promise, release };
}
