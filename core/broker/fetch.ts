import type { Clock } from '../base/clock.ts';
import type { Counter } from '../base/metrics.ts';
import type { RequestBody, ResponseInput } from '../protocol/api.ts';
import { hidingTransactions } from '../log/committed-batches.ts';
import type { PartitionLog } from '../log/log.ts';
import type { AbortedTransaction } from '../log/txn-index.ts';
import { ErrorCode, errorCodeOf } from './kafka-error.ts';
import { leaderEpochError } from './leader-epoch.ts';
import type { Partition } from './partition.ts';
import type { Connection, Handler } from './request.ts';
import type { Topics } from './topics.ts';

/** The most that one answer carries whatever the client allows (Kafka's fetch.max.bytes). */
const MAX_RESPONSE_BYTES = 55 * 1024 * 1024;
/** As isolation level in Fetch and ListOffsets (KIP-98). */
export const READ_COMMITTED = 1;

export interface FetchOptions {
  topics: Topics;
  clock: Clock;
  consumed: Counter;
}

type Asked = RequestBody<1>['topics'][number]['partitions'][number];
type PartitionAnswer = ResponseInput<1>['responses'][number]['partitions'][number];

/** One partition of a fetch while it is gathered. */
interface Item {
  asked: Asked;
  partition: Partition | null;
  errorCode: number;
  batches: Uint8Array[];
  sizeBytes: number;
  next: number;
  divergingEpoch: { epoch: number; endOffset: number } | null;
  /** Nothing at or above the last stable offset is given out. */
  committedOnly: boolean;
  /** It took all that the client allows for it. */
  full: boolean;
}

/**
 * Answers with what is below the high watermark, for readers of committed records below the last stable offset; when
 * that is less than the client wants, waits for more until its time is up. Sessions (KIP-227) are declined by answering session id 0.
 */
export function fetchHandler({ topics, clock, consumed }: FetchOptions): Handler<1> {
  return async (body, { connection, whenSent }) => {
    if (body.sessionId !== 0 && body.sessionEpoch > 0) {
      return { errorCode: ErrorCode.FETCH_SESSION_ID_NOT_FOUND, sessionId: 0, responses: [] };
    }
    const groups = body.topics.map(({ topic, partitions }) => ({
      topic,
      items: partitions.map(asked => begin(topics, topic, asked, body.isolationLevel === READ_COMMITTED)),
    }));
    const items = groups.flatMap(group => group.items);
    const deadline = clock.monotonic() + body.maxWaitMs;
    const maxBytes = Math.min(body.maxBytes, MAX_RESPONSE_BYTES);
    for (;;) {
      const sizeBytes = await readMore(items, maxBytes, whenSent);
      const left = deadline - clock.monotonic();
      if (sizeBytes >= body.minBytes || left <= 0 || items.length === 0) break;
      if (items.some(({ errorCode, divergingEpoch }) => errorCode !== ErrorCode.NONE || divergingEpoch)) break;
      if (items.some(hasMore)) continue;
      if ((await change(items, clock, left, connection)) === 'gone') return null;
    }
    let records = 0;
    for (const { next, asked } of items) records += next - asked.fetchOffset;
    if (records > 0) consumed.add(records);
    return {
      errorCode: ErrorCode.NONE,
      sessionId: 0,
      responses: groups.map(({ topic, items: own }) => ({
        topic,
        partitions: own.map(answer),
      })),
    };
  };
}

function begin(topics: Topics, topic: string, asked: Asked, committedOnly: boolean): Item {
  const partition = topics.get(topic)?.partitions[asked.partition] ?? null;
  const item: Item = {
    asked,
    partition,
    errorCode: ErrorCode.NONE,
    batches: [],
    sizeBytes: 0,
    next: asked.fetchOffset,
    divergingEpoch: null,
    committedOnly,
    full: false,
  };
  if (!partition) return { ...item, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION };
  const { log } = partition;
  item.errorCode = leaderEpochError(log, asked.currentLeaderEpoch);
  if (item.errorCode !== ErrorCode.NONE) return item;
  if (asked.lastFetchedEpoch >= 0) {
    // KIP-595: the client's offset may lie on a branch of the log that was cut off.
    const end = log.endOffsetForEpoch(asked.lastFetchedEpoch);
    if (!end || end.epoch < asked.lastFetchedEpoch || end.endOffset < asked.fetchOffset) {
      item.divergingEpoch = end ?? { epoch: -1, endOffset: -1 };
      return item;
    }
  }
  if (asked.fetchOffset < log.startOffset || asked.fetchOffset > log.endOffset) {
    item.errorCode = ErrorCode.OFFSET_OUT_OF_RANGE;
  }
  return item;
}

const isOpen = (item: Item): boolean =>
  item.errorCode === ErrorCode.NONE && !item.full && item.divergingEpoch === null && item.partition !== null;

const limitOf = ({ committedOnly }: Item, log: PartitionLog): number =>
  committedOnly ? log.lastStableOffset : log.highWatermark;

const hasMore = (item: Item): boolean =>
  isOpen(item) && item.partition !== null && limitOf(item, item.partition.log) > item.next;

/** Reads on where there is more; the first batch of an answer is always whole. Returns the size gathered so far. */
async function readMore(items: readonly Item[], maxBytes: number, whenSent: (() => void)[]): Promise<number> {
  let total = 0;
  for (const { sizeBytes } of items) total += sizeBytes;
  for (const item of items) {
    if (!hasMore(item) || !item.partition) continue;
    const room = Math.min(item.asked.partitionMaxBytes - item.sizeBytes, maxBytes - total);
    if (room <= 0 && total > 0) {
      item.full = true;
      continue;
    }
    try {
      const { log } = item.partition;
      const read = await log.read(item.next, Math.max(room, 0), limitOf(item, log));
      // The log gives at least one batch; only the answer's first one may be more than is allowed.
      if (total > 0 && read.sizeBytes > room) {
        item.full = true;
        read.release?.();
        continue;
      }
      if (read.release) whenSent.push(read.release);
      item.batches.push(...read.batches);
      item.sizeBytes += read.sizeBytes;
      item.next = read.nextOffset;
      total += read.sizeBytes;
      if (read.sizeBytes >= room || limitOf(item, log) > item.next) item.full = true;
    } catch (error) {
      item.errorCode = errorCodeOf(error);
    }
  }
  return total;
}

/** Waits until a partition has more to give, one is deleted, the time is up or the client is gone. */
function change(
  items: readonly Item[],
  clock: Clock,
  leftMs: number,
  connection: Connection,
): Promise<'look again' | 'gone'> {
  return new Promise(resolve => {
    const stops: (() => void)[] = [];
    const finish = (why: 'look again' | 'gone'): void => {
      timer.cancel();
      for (const stop of stops) stop();
      resolve(why);
    };
    const wake = (): void => finish('look again');
    const timer = clock.setTimer(leftMs, wake);
    stops.push(connection.onClose(() => finish('gone')));
    for (const item of items) {
      if (!item.partition || !isOpen(item)) continue;
      const { partition } = item;
      const { log } = partition;
      stops.push(
        log.onStableAdvance(() => {
          if (limitOf(item, log) > item.next) wake();
        }),
        partition.onClose(() => {
          item.errorCode = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
          wake();
        }),
      );
    }
  });
}

function answer(item: Item): PartitionAnswer {
  const log = item.partition?.log;
  // Records were deleted since they were read, and with them what says which of them were aborted.
  if (item.committedOnly && log && log.startOffset > item.asked.fetchOffset && item.batches.length > 0) {
    item.errorCode = ErrorCode.OFFSET_OUT_OF_RANGE;
  }
  const failed = item.errorCode !== ErrorCode.NONE;
  const highWatermark = failed || !log ? -1 : log.highWatermark;
  return {
    partitionIndex: item.asked.partition,
    errorCode: item.errorCode,
    highWatermark,
    lastStableOffset: failed || !log ? -1 : log.lastStableOffset,
    logStartOffset: failed || !log ? -1 : log.startOffset,
    abortedTransactions: item.committedOnly ? abortedIn(item) : null,
    ...(item.divergingEpoch ? { divergingEpoch: item.divergingEpoch } : {}),
    records: failed ? [] : joined(item.batches),
  };
}

function abortedIn({ asked, next, batches, partition, errorCode }: Item): AbortedTransaction[] {
  if (!partition || errorCode !== ErrorCode.NONE || next <= asked.fetchOffset) return [];
  return hidingTransactions(batches, partition.log.abortedWithin(asked.fetchOffset, next));
}

/** Batches that lie one behind the other in one buffer go out as one piece: fewer entries for writev. */
export function joined(batches: readonly Uint8Array[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (const batch of batches) {
    const last = pieces.at(-1);
    if (last && last.buffer === batch.buffer && last.byteOffset + last.length === batch.byteOffset) {
      pieces[pieces.length - 1] = new Uint8Array(last.buffer, last.byteOffset, last.length + batch.length);
    } else {
      pieces.push(batch);
    }
  }
  return pieces;
}
