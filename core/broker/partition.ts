import { Bag } from '../base/bag.ts';
import type { Clock } from '../base/clock.ts';
import { MillstreamError } from '../base/errors.ts';
import type { BatchHeader } from '../log/batch.ts';
import type { Appended, LogStore, PartitionLog } from '../log/log.ts';
import { readBatchHeader } from '../log/batch.ts';
import { encodeMarker, type MarkerOptions } from '../log/marker.ts';
import { ProducerState } from './producer-state.ts';
import type { Topic } from './topics.ts';

const DONE = Promise.resolve();

/** One partition: its log and what its producers wrote. */
export class Partition {
  readonly topic: Topic;
  readonly index: number;
  readonly log: PartitionLog;
  readonly producers: ProducerState;
  /** Appends of producers that are not durable yet, in order: a retried batch waits for its original. */
  private readonly inFlight = new Bag<{ baseOffset: number; producerId: number; durable: Promise<void> }>();
  private readonly closeListeners = new Bag<() => void>();
  /** What was put in line last. */
  private line: Promise<unknown> = DONE;
  private closed = false;

  private constructor(topic: Topic, index: number, log: PartitionLog, producers: ProducerState) {
    this.topic = topic;
    this.index = index;
    this.log = log;
    this.producers = producers;
  }

  static async open(
    topic: Topic,
    index: number,
    { store, clock }: { store: LogStore; clock: Clock },
  ): Promise<Partition> {
    const producers = new ProducerState(clock);
    const id = { topic: topic.name, topicId: topic.id, partition: index };
    const log = await store.open(id, topic.settings.log, producers);
    return new Partition(topic, index, log, producers);
  }

  /** Appends checked batches, or finds that they are a retry: then the answer is the original's, durable like it.
   * `admit` may refuse, by throwing, what is not a retry. */
  append(
    bytes: Uint8Array,
    headers: readonly BatchHeader[],
    retain: 'own' | 'copy',
    admit: () => void = () => {},
  ): Appended {
    if (this.closed) throw new MillstreamError('closed', 'CLOSED', `Topic '${this.topic.name}' is being deleted.`);
    const original = this.producers.check(headers);
    if (original) {
      return {
        baseOffset: original.firstOffset,
        lastOffset: original.lastOffset,
        appendTime: -1,
        durable: this.inFlight.findLast(({ baseOffset }) => baseOffset === original.firstOffset)?.durable ?? DONE,
      };
    }
    admit();
    const appended = this.log.append(bytes, headers, retain);
    this.topic.produced.add(appended.lastOffset - appended.baseOffset + 1);
    if (this.log.highWatermark <= appended.lastOffset) this.follow(appended, headers);
    return appended;
  }

  /** Does `next` with what `work` gives, after all that was put in line before it. */
  inLine<T, R>(work: Promise<T>, next: (value: T) => R): Promise<R> {
    const turn = Promise.allSettled([work, this.line]).then(([done]) => {
      if (done.status === 'rejected') throw done.reason;
      return next(done.value);
    });
    this.line = turn.catch(() => {});
    return turn;
  }

  /** Ends the producer's open transaction here; the last stable offset moves at once. */
  appendMarker(marker: MarkerOptions): Appended {
    if (this.closed) throw new MillstreamError('closed', 'CLOSED', `Topic '${this.topic.name}' is being deleted.`);
    const batch = encodeMarker(marker);
    return this.log.append(batch, [readBatchHeader(batch)]);
  }

  /** Resolves when everything that the producer wrote so far is durable; rejects when its sync failed. */
  durable(producerId: number): Promise<void> {
    return this.inFlight.findLast(append => append.producerId === producerId)?.durable ?? DONE;
  }

  /** Remembers an append of a producer until it is durable. */
  follow(appended: Appended, headers: readonly BatchHeader[]): void {
    const producerId = headers[0]?.producerId ?? -1;
    if (producerId < 0) return;
    const { baseOffset, durable } = appended;
    // After a failed sync it stays: whether the bytes are there is unknown, so a retry must fail like the original.
    durable.then(this.inFlight.add({ baseOffset, producerId, durable }), () => {});
  }

  onClose(listener: () => void): () => void {
    return this.closeListeners.add(listener);
  }

  /** The topic is deleted: wakes whoever waits for records. */
  close(): void {
    this.closed = true;
    for (const listener of this.closeListeners.take()) listener();
  }
}
