import { type Cursor, readVarint } from '../../base/varint.ts';
import { type BatchHeader, batchesIn, checkBatch, isControl, isTransactional, lastOffset } from '../batch.ts';
import { recordSpans, recordsSection } from '../record.ts';
import { emptyBatch, rebuildBatch } from './rebuild.ts';
import { KeyMap } from './key-map.ts';

/** A transaction that was aborted: its records lie in [firstOffset, lastOffset), its marker at lastOffset. */
export interface AbortedRange {
  producerId: number;
  firstOffset: number;
  lastOffset: number;
}

/** What a run of compaction knows when it begins. Plain data: it may go to a thread. */
export interface TaskOptions {
  /** Memory for the newest offset of each key. */
  budgetBytes: number;
  now: number;
  /** How long tombstones and markers stay after the first compaction that sees them. */
  deleteRetentionMs: number;
  aborted: readonly AbortedRange[];
  /** Of each producer that is remembered, the offset that its last batch ends with: its header stays. */
  producers: readonly (readonly [producerId: number, lastOffset: number])[];
}

export interface IndexResult {
  /** Behind the last batch taken in. */
  nextOffset: number;
  /** The budget is used up: this pass ends here. */
  isFull: boolean;
}

export interface FilterResult {
  /** What stays of the batches; shares no memory with what was handed in. */
  bytes: Uint8Array;
  changed: boolean;
}

/** The work on the bytes of one log's compaction, without the files: in this thread or another. Chunks are whole batches
 * one behind the other. Every pass calls `index` over what is dirty, then `filter` from the log's start on. */
export interface CompactionTask {
  index(chunk: Uint8Array): Promise<IndexResult>;
  /** `keep`: the batch that ends at this offset stays, at least its header. */
  filter(chunk: Uint8Array, keep: number): Promise<FilterResult>;
  /** The next pass begins: forgets the keys. */
  nextPass(): Promise<void>;
  close(): Promise<void>;
}

/** Starts tasks: in slices on this thread (`inlineRunner`), or on a worker. */
export interface CompactionRunner {
  start(options: TaskOptions): Promise<CompactionTask>;
}

/** Kafka's rules (LogCleaner, KIP-534), one batch at a time. */
export class BatchCleaner {
  private readonly options: TaskOptions;
  private readonly map: KeyMap;
  private readonly producers: ReadonlyMap<number, number>;
  private readonly aborted = new Map<number, AbortedRange[]>();
  /** Offset behind the last batch that is in the map. */
  private indexed = 0;
  /** Producers of which this pass saw transactional data since their last marker. */
  private readonly withData = new Set<number>();

  constructor(options: TaskOptions) {
    this.options = options;
    this.map = new KeyMap(options.budgetBytes);
    this.producers = new Map(options.producers);
    for (const range of options.aborted) {
      const ranges = this.aborted.get(range.producerId);
      if (ranges) ranges.push(range);
      else this.aborted.set(range.producerId, [range]);
    }
  }

  nextPass(): void {
    this.map.clear();
    this.withData.clear();
  }

  /** Takes in the keys of one batch; false when they do not fit any more. */
  index(batch: Uint8Array): boolean {
    const header = checkBatch(batch);
    if (!isControl(header) && !this.isAborted(header)) {
      if (!this.map.hasRoomFor(header.recordCount)) return false;
      const section = sectionOf(batch, header);
      if (section) {
        for (const span of recordSpans(section, header)) {
          const key = readKey(section, span.bodyFrom).key;
          if (key) this.map.set(key, header.baseOffset + span.offsetDelta);
        }
      }
    }
    this.indexed = lastOffset(header) + 1;
    return true;
  }

  /** What stays of one batch: itself, a smaller one, its header alone, or null. */
  filter(batch: Uint8Array, keep: number): Uint8Array | null {
    const header = checkBatch(batch);
    const last = lastOffset(header);
    const mustStay = last === keep || (header.producerId >= 0 && this.producers.get(header.producerId) === last);
    if (isControl(header)) return this.filterMarker(batch, header, mustStay);
    if (isTransactional(header)) this.withData.add(header.producerId);
    const empty = (): Uint8Array | null => (mustStay ? emptyBatch(header) : null);
    if (header.recordCount === 0) return mustStay ? batch : null;
    if (this.isAborted(header)) return empty();
    const section = sectionOf(batch, header);
    // What cannot be unpacked cannot be judged either.
    if (!section) return batch;
    const { horizon, now } = { horizon: horizonOf(header), now: this.options.now };
    const kept: boolean[] = [];
    let keptCount = 0;
    let hasTombstone = false;
    for (const span of recordSpans(section, header)) {
      const offset = header.baseOffset + span.offsetDelta;
      const { key, isTombstone } = readKey(section, span.bodyFrom);
      const isNew = offset >= this.indexed;
      const isLatest = key !== null && offset >= this.map.get(key);
      const stays = isNew || (isLatest && (!isTombstone || horizon === null || now < horizon));
      kept.push(stays);
      if (!stays) continue;
      keptCount++;
      if (isTombstone && !isNew) hasTombstone = true;
    }
    if (keptCount === 0) return empty();
    const setsHorizon = hasTombstone && horizon === null;
    if (keptCount === header.recordCount && !setsHorizon) return batch;
    return rebuildBatch(header, section, kept, setsHorizon ? now + this.options.deleteRetentionMs : horizon);
  }

  /** A marker goes when nothing of its transaction is left, after the time of a tombstone; an abort marker stays as long
   * as the log's index of aborted transactions names it, because readers skip a producer's records up to it. */
  private filterMarker(batch: Uint8Array, header: BatchHeader, mustStay: boolean): Uint8Array | null {
    const hasData = this.withData.delete(header.producerId);
    const last = lastOffset(header);
    const isAbort = this.aborted.get(header.producerId)?.some(range => range.lastOffset === last) ?? false;
    if (hasData || mustStay || isAbort || header.baseOffset >= this.indexed || header.recordCount === 0) return batch;
    const horizon = horizonOf(header);
    if (horizon !== null) return this.options.now < horizon ? batch : null;
    const section = sectionOf(batch, header);
    if (!section) return batch;
    const kept = Array.from({ length: header.recordCount }, () => true);
    return rebuildBatch(header, section, kept, this.options.now + this.options.deleteRetentionMs);
  }

  private isAborted(header: BatchHeader): boolean {
    if (!isTransactional(header)) return false;
    const { baseOffset } = header;
    const ranges = this.aborted.get(header.producerId) ?? [];
    return ranges.some(range => range.firstOffset <= baseOffset && baseOffset < range.lastOffset);
  }
}

/** Runs `step` over the batches of a chunk until it returns false. */
export function eachBatch(chunk: Uint8Array, step: (batch: Uint8Array) => boolean | void): void {
  for (const { at, header } of batchesIn(chunk)) {
    if (step(chunk.subarray(at, at + header.sizeBytes)) === false) return;
  }
}

/** When tombstones and markers of a batch may go: kept in the base timestamp of a batch that says so (bit 6). */
function horizonOf(header: BatchHeader): number | null {
  return (header.attributes & 0x40) !== 0 ? header.baseTimestamp : null;
}

/** Null when a producer sent bytes that do not unpack. */
function sectionOf(batch: Uint8Array, header: BatchHeader): Uint8Array | null {
  try {
    const section = recordsSection(batch, header);
    for (const span of recordSpans(section, header)) readKey(section, span.bodyFrom);
    return section;
  } catch {
    return null;
  }
}

function readKey(section: Uint8Array, from: number): { key: Uint8Array | null; isTombstone: boolean } {
  const at: Cursor = { offset: from };
  const length = readVarint(section, at);
  const end = at.offset + Math.max(length, 0);
  if (end > section.length) throw new RangeError('a key runs past its batch');
  const key = length < 0 ? null : section.subarray(at.offset, end);
  at.offset = end;
  return { key, isTombstone: readVarint(section, at) < 0 };
}
