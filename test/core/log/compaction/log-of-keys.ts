import { silentLogger } from '../../../../core/base/logger.ts';
import { seededRandom } from '../../../../core/base/random.ts';
import { ProducerState } from '../../../../core/broker/producer-state.ts';
import type { CompactionSettings } from '../../../../core/log/compaction/select.ts';
import { openLocalLogStore } from '../../../../core/log/local-log-store.ts';
import type { LocalLogStoreOptions } from '../../../../core/log/local-log-store.ts';
import type { Appended, LogObserver, LogStore, PartitionLog } from '../../../../core/log/log.ts';
import { type BatchOptions, encodeBatch, type LogRecord, readRecords } from '../../../../core/log/record.ts';
import { FaultDisk } from '../fault-disk.ts';
import { CONFIG, headersOf, ID } from '../harness.ts';
import { ManualClock } from '../manual-clock.ts';

export const ROOT = '/data/log';
export const LOG = `${ROOT}/orders-0`;
export const ALWAYS: CompactionSettings = {
  minCleanableDirtyRatio: 0,
  minCompactionLagMs: 0,
  maxCompactionLagMs: Infinity,
  deleteRetentionMs: 86_400_000,
};

/** Key and value; null is a tombstone, a null key is no key. */
export type Pair = readonly [key: string | null, value: string | null];

/** A log of keyed records in small segments, on a disk in memory. */
export class LogOfKeys {
  readonly clock = new ManualClock();
  readonly producers = new ProducerState(this.clock);
  observer: LogObserver = this.producers;
  disk = new FaultDisk(seededRandom(1));
  store!: LogStore;
  log!: PartitionLog;
  private readonly options: Partial<LocalLogStoreOptions>;
  private readonly segmentBytes: number;

  constructor(options: Partial<LocalLogStoreOptions> = {}, segmentBytes = 2_000) {
    this.options = options;
    this.segmentBytes = segmentBytes;
  }

  async open(): Promise<this> {
    this.store = await openLocalLogStore({
      directory: ROOT,
      disk: this.disk,
      clock: this.clock,
      logger: silentLogger,
      fsync: true,
      flushIntervalMs: 1000,
      cacheBytes: 100_000,
      preallocateBytes: 0,
      ...this.options,
    });
    this.log = await this.store.open(ID, { ...CONFIG, segmentBytes: this.segmentBytes }, this.observer);
    return this;
  }

  async reopen(how: 'close' | 'kill' = 'close'): Promise<void> {
    if (how === 'close') await this.store.close();
    else this.disk = this.disk.kill();
    await this.open();
  }

  append(pairs: readonly Pair[], options: BatchOptions = {}): Appended {
    const timestamp = this.clock.now();
    const bytes = encodeBatch(
      pairs.map(([key, value]) => ({
        timestamp,
        key: key === null ? null : Buffer.from(key),
        value: value === null ? null : Buffer.from(value),
      })),
      options,
    );
    return this.appendBytes(bytes);
  }

  appendBytes(bytes: Uint8Array): Appended {
    return this.log.append(bytes, headersOf(bytes));
  }

  /** Fills the active segment, so that everything before lies in closed ones. */
  async roll(): Promise<void> {
    const before = (await this.disk.list(LOG)).filter(name => name.endsWith('.log')).length;
    for (let i = 0; (await this.disk.list(LOG)).filter(name => name.endsWith('.log')).length === before; i++) {
      await this.append([[`filler-${this.log.endOffset}-${i}`, 'f'.repeat(300)]]).durable;
    }
    // Sealed in the background.
    await this.log.deleteBefore(this.log.startOffset);
    await this.log.enforceRetention(this.clock.now(), 0);
  }

  compact(settings: Partial<CompactionSettings> = {}): ReturnType<PartitionLog['compact']> {
    return this.log.compact({ ...ALWAYS, ...settings });
  }

  /** Every record that a reader gets, fillers left out. */
  async records(): Promise<LogRecord[]> {
    return (await this.batches()).flatMap(batch => readRecords(batch)).filter(r => !text(r.key)?.startsWith('filler'));
  }

  async batches(): Promise<Uint8Array[]> {
    const found: Uint8Array[] = [];
    for (let offset = this.log.startOffset; offset < this.log.highWatermark; ) {
      const { batches, nextOffset } = await this.log.read(offset, 3_000);
      if (nextOffset <= offset) throw new Error(`reading at ${offset} does not go on`);
      found.push(...batches.map(batch => Uint8Array.from(batch)));
      offset = nextOffset;
    }
    return found;
  }

  async pairs(): Promise<[offset: number, key: string | null, value: string | null][]> {
    return (await this.records()).map(record => [record.offset, text(record.key), text(record.value)]);
  }
}

export function text(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString();
}
