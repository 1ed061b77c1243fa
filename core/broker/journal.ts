import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { ATTRIBUTE, type BatchHeader, readBatchHeader } from '../log/batch.ts';
import type { Appended, PartitionLog } from '../log/log.ts';
import { type Marker, readMarker } from '../log/marker.ts';
import { encodeBatch, type NewRecord, readRecords } from '../log/record.ts';

const READ_BYTES = 1024 * 1024;
const SNAPSHOT_RECORDS = 500;
const NO_PRODUCER = -1;

export type JournalRecord = Pick<NewRecord, 'key' | 'value' | 'headers'>;

/** How entries lie in records. */
export interface JournalFormat<E> {
  /** For messages. */
  name: string;
  encode(entry: E): JournalRecord;
  /** null for records of kinds that are not kept. Throws when the bytes make no sense. */
  decode(record: JournalRecord): E | null;
}

export interface JournalOptions<E> {
  log: PartitionLog;
  clock: Clock;
  logger: Logger;
  format: JournalFormat<E>;
  /** Bytes written after which the state is written anew and older segments go. */
  snapshotBytes: number;
  /** The whole state, with what is not durable yet. */
  state: () => Iterable<E>;
}

/** What is read back, in order. */
export interface JournalReader<E> {
  /** `producerId` of an entry that counts only once its transaction is committed; -1 for others. */
  entry(entry: E, producerId: number): void;
  /** A transaction of that producer ended. */
  marker?(producerId: number, kind: Marker['kind']): void;
}

/**
 * An internal topic: every change of a state, in Kafka's record format. Until compaction exists it is kept short by
 * writing the whole state behind the old records and removing those before it.
 */
export class Journal<E> {
  private readonly options: JournalOptions<E>;
  private bytesSinceSnapshot = 0;
  private snapshotRunning = false;

  constructor(options: JournalOptions<E>) {
    this.options = options;
  }

  /** Reads everything back, oldest first. */
  async load(reader: JournalReader<E>): Promise<void> {
    const { log, logger, format } = this.options;
    let unreadable = 0;
    for (let offset = log.startOffset; offset < log.highWatermark; ) {
      const read = await log.read(offset, READ_BYTES);
      for (const batch of read.batches) unreadable += this.show(batch, reader);
      this.bytesSinceSnapshot += read.sizeBytes;
      if (read.nextOffset <= offset) break;
      offset = read.nextOffset;
    }
    if (unreadable > 0) logger.warn(`records of ${format.name} could not be read`, { records: unreadable });
  }

  /** Returns how many records could not be read. */
  private show(batch: Uint8Array, reader: JournalReader<E>): number {
    const header = readBatchHeader(batch);
    const marker = readMarker(batch, 0, header);
    if (marker) reader.marker?.(header.producerId, marker.kind);
    if (marker || (header.attributes & ATTRIBUTE.control) !== 0) return 0;
    const producerId = (header.attributes & ATTRIBUTE.transactional) === 0 ? NO_PRODUCER : header.producerId;
    let unreadable = 0;
    for (const record of readRecords(batch)) {
      try {
        const entry = this.options.format.decode(record);
        if (entry) reader.entry(entry, producerId);
      } catch {
        unreadable++;
      }
    }
    return unreadable;
  }

  /** Appends in call order (synchronously); resolves when durable. */
  append(entries: readonly E[]): Promise<void> {
    return this.write(this.encode(entries)).durable;
  }

  /** Appends entries that count once the producer's transaction is committed. */
  appendInTransaction(
    entries: readonly E[],
    producer: { producerId: number; producerEpoch: number },
  ): { appended: Appended; headers: BatchHeader[] } {
    const batch = this.encode(entries, { ...producer, attributes: ATTRIBUTE.transactional });
    const headers = [readBatchHeader(batch)];
    return { appended: this.write(batch, headers), headers };
  }

  private write(batch: Uint8Array, headers = [readBatchHeader(batch)]): Appended {
    const { log, snapshotBytes } = this.options;
    const appended = log.append(batch, headers);
    this.bytesSinceSnapshot += batch.length;
    if (this.bytesSinceSnapshot >= snapshotBytes && !this.snapshotRunning) {
      // In a turn of its own: the caller may still be about to take these entries into the state.
      this.snapshotRunning = true;
      queueMicrotask(() => void this.snapshot());
    }
    return appended;
  }

  private async snapshot(): Promise<void> {
    const { log, logger, state, format } = this.options;
    const from = log.endOffset;
    // What an open transaction wrote counts only with its marker, which is still to come: the state has none of it.
    const open = log.firstOpenOffset;
    this.bytesSinceSnapshot = 0;
    try {
      // All of it in this turn, so that no other entry comes between.
      let durable: Promise<void> = Promise.resolve();
      let entries: E[] = [];
      const flush = (): void => {
        if (entries.length === 0) return;
        const batch = this.encode(entries);
        entries = [];
        durable.catch(() => {});
        ({ durable } = log.append(batch, [readBatchHeader(batch)]));
      };
      for (const entry of state()) {
        entries.push(entry);
        if (entries.length === SNAPSHOT_RECORDS) flush();
      }
      flush();
      await durable;
      await log.deleteBefore(Math.min(from, open ?? from));
    } catch (error) {
      // The old records are still there: nothing is lost, the next attempt comes after as many bytes.
      logger.warn(`the snapshot of ${format.name} failed`, { error });
    } finally {
      this.snapshotRunning = false;
    }
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
