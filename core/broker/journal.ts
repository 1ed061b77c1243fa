import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { ATTRIBUTE, type BatchHeader, readBatchHeader } from '../log/batch.ts';
import type { Appended } from '../log/log.ts';
import { type Marker, readMarker } from '../log/marker.ts';
import { encodeBatch, type NewRecord, readRecords } from '../log/record.ts';
import type { Partition } from './partition.ts';

const READ_BYTES = 1024 * 1024;
const NO_PRODUCER = -1;

export type JournalRecord = Pick<NewRecord, 'key' | 'value' | 'headers'>;

/** How entries lie in records. The newest record of a key says all that counts of it: compaction keeps no other. */
export interface JournalFormat<E> {
  /** For messages. */
  name: string;
  encode(entry: E): JournalRecord;
  /** null for records of kinds that are not kept. Throws when the bytes make no sense. */
  decode(record: JournalRecord): E | null;
}

export interface JournalOptions<E> {
  partition: Partition;
  clock: Clock;
  logger: Logger;
  format: JournalFormat<E>;
}

/** What is read back, in order. */
export interface JournalReader<E> {
  /** `producerId` of an entry that counts only once its transaction is committed; -1 for others. */
  entry(entry: E, offset: number, producerId: number): void;
  /** A transaction of that producer ended. */
  marker?(producerId: number, kind: Marker['kind'], offset: number): void;
}

/**
 * An internal topic: every change of a state, in Kafka's record format. It is compacted like any other topic, and
 * besides whenever so much was written that a restart would have to read it for long.
 */
export class Journal<E> {
  private readonly options: JournalOptions<E>;
  /** Bytes that no compaction has looked at, as far as this process knows. */
  private uncompacted = 0;
  /** How many of them make the next one worth a look; null while one runs. */
  private compactAt: number | null;

  constructor(options: JournalOptions<E>) {
    this.options = options;
    this.compactAt = this.segmentBytes;
  }

  /** Reads everything back, oldest first. */
  async load(reader: JournalReader<E>): Promise<void> {
    const { partition, logger, format } = this.options;
    const { log } = partition;
    let unreadable = 0;
    for (let offset = log.startOffset; offset < log.highWatermark; ) {
      const read = await log.read(offset, READ_BYTES);
      for (const batch of read.batches) unreadable += this.show(batch, reader);
      this.uncompacted += read.sizeBytes;
      if (read.nextOffset <= offset) break;
      offset = read.nextOffset;
      read.release?.();
    }
    if (unreadable > 0) logger.warn(`records of ${format.name} could not be read`, { records: unreadable });
  }

  /** Returns how many records could not be read. */
  private show(batch: Uint8Array, reader: JournalReader<E>): number {
    const header = readBatchHeader(batch);
    const marker = readMarker(batch, 0, header);
    if (marker) reader.marker?.(header.producerId, marker.kind, header.baseOffset);
    if (marker || (header.attributes & ATTRIBUTE.control) !== 0) return 0;
    const producerId = (header.attributes & ATTRIBUTE.transactional) === 0 ? NO_PRODUCER : header.producerId;
    let unreadable = 0;
    for (const record of readRecords(batch)) {
      try {
        const entry = this.options.format.decode(record);
        if (entry) reader.entry(entry, record.offset, producerId);
      } catch {
        unreadable++;
      }
    }
    return unreadable;
  }

  /** Appends in call order (synchronously), one offset an entry. */
  append(entries: readonly E[]): Appended {
    return this.write(this.encode(entries));
  }

  /** Appends entries that count once the producer's transaction is committed. */
  appendInTransaction(entries: readonly E[], producer: { producerId: number; producerEpoch: number }): Appended {
    const batch = this.encode(entries, { ...producer, attributes: ATTRIBUTE.transactional });
    const headers = [readBatchHeader(batch)];
    const appended = this.write(batch, headers);
    this.options.partition.follow(appended, headers);
    return appended;
  }

  private write(batch: Uint8Array, headers: readonly BatchHeader[] = [readBatchHeader(batch)]): Appended {
    const appended = this.options.partition.log.append(batch, headers);
    this.uncompacted += batch.length;
    if (this.compactAt !== null && this.uncompacted >= this.compactAt) void this.compact();
    return appended;
  }

  private async compact(): Promise<void> {
    const { partition, logger, format } = this.options;
    const before = this.uncompacted;
    this.compactAt = null;
    let done = false;
    try {
      done = (await partition.log.compact(partition.topic.settings.compaction)) !== null;
    } catch (error) {
      // The old records are still there: nothing is lost.
      if ((error as { kind?: unknown }).kind !== 'closed') logger.warn(`${format.name} was not compacted`, { error });
    }
    // A segment that was just rolled may not be sealed yet.
    if (done) this.uncompacted -= before;
    this.compactAt = done ? this.segmentBytes : this.uncompacted + this.segmentBytes / 8;
  }

  private get segmentBytes(): number {
    return this.options.partition.topic.settings.log.segmentBytes;
  }

  private encode(entries: readonly E[], options: Parameters<typeof encodeBatch>[1] = {}): Uint8Array {
    const timestamp = this.options.clock.now();
    const { format } = this.options;
    return encodeBatch(
      entries.map(entry => ({ timestamp, ...format.encode(entry) })),
      options,
    );
  }
}
