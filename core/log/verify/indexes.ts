import type { Disk } from '../../base/disk.ts';
import { type BatchHeader, lastOffset } from '../batch.ts';
import { offsetName, readWhole, SUFFIX } from '../log-files.ts';
import type { Report } from './finding.ts';

const OFFSET_ENTRY_BYTES = 8;
const TIME_ENTRY_BYTES = 12;

interface OffsetEntry {
  at: number;
  lastOffset: number;
  position: number;
}

interface TimeEntry {
  at: number;
  timestamp: number;
  offset: number;
}

/** Holds the two sparse indexes of a segment beside its batches, as these go by. */
export class IndexCheck {
  private readonly path: (suffix: string) => string;
  private readonly report: Report;
  private readonly offsets: OffsetEntry[];
  private readonly times: TimeEntry[];
  private nextOffset = 0;
  private nextTime = 0;
  private maxTimestamp = -1;

  private constructor(path: (suffix: string) => string, report: Report, offsets: OffsetEntry[], times: TimeEntry[]) {
    this.path = path;
    this.report = report;
    this.offsets = offsets;
    this.times = times;
  }

  /** `trusted`: entries for offsets at or above are made again after a crash, and are not looked at. */
  static async open(
    disk: Disk,
    root: string,
    log: string,
    baseOffset: number,
    trusted: number,
    report: Report,
  ): Promise<IndexCheck> {
    const path = (suffix: string): string => `${log}/${offsetName(baseOffset, suffix)}`;
    const load = async (suffix: string, entryBytes: number): Promise<Buffer> => {
      const bytes = await readWhole(disk, `${root}/${path(suffix)}`);
      if (bytes && bytes.length % entryBytes !== 0 && trusted === Infinity) {
        report(problem(path(suffix), bytes.length, `${bytes.length % entryBytes} bytes behind the last whole entry`));
      }
      return bytes ?? Buffer.alloc(0);
    };
    const offsetBytes = await load(SUFFIX.index, OFFSET_ENTRY_BYTES);
    const offsets: OffsetEntry[] = [];
    for (let at = 0; at + OFFSET_ENTRY_BYTES <= offsetBytes.length; at += OFFSET_ENTRY_BYTES) {
      const entry = {
        at,
        lastOffset: baseOffset + offsetBytes.readInt32BE(at),
        position: offsetBytes.readInt32BE(at + 4),
      };
      if (entry.lastOffset >= trusted || (entry.lastOffset === baseOffset && entry.position === 0)) break;
      offsets.push(entry);
    }
    const timeBytes = await load(SUFFIX.timeIndex, TIME_ENTRY_BYTES);
    const times: TimeEntry[] = [];
    for (let at = 0; at + TIME_ENTRY_BYTES <= timeBytes.length; at += TIME_ENTRY_BYTES) {
      const entry = {
        at,
        timestamp: Number(timeBytes.readBigInt64BE(at)),
        offset: baseOffset + timeBytes.readInt32BE(at + 8),
      };
      // Times above the last indexed batch come again with the scan that follows a crash.
      const limit = trusted === Infinity ? Infinity : (offsets.at(-1)?.lastOffset ?? baseOffset - 1) + 1;
      if (entry.offset >= limit || (entry.timestamp === 0 && entry.offset === baseOffset)) break;
      times.push(entry);
    }
    return new IndexCheck(path, report, offsets, times);
  }

  batch(header: BatchHeader, position: number): void {
    const last = lastOffset(header);
    for (let entry = this.offsets[this.nextOffset]; entry && entry.position <= position; ) {
      if (entry.position < position) this.astray(SUFFIX.index, entry.at, `position ${entry.position} begins no batch`);
      else if (entry.lastOffset !== last) {
        this.astray(SUFFIX.index, entry.at, `the batch at ${position} ends with ${last}, not ${entry.lastOffset}`);
      }
      entry = this.offsets[++this.nextOffset];
    }
    this.maxTimestamp = Math.max(this.maxTimestamp, header.maxTimestamp);
    for (let entry = this.times[this.nextTime]; entry && entry.offset <= last; ) {
      if (entry.offset < last) this.astray(SUFFIX.timeIndex, entry.at, `offset ${entry.offset} ends no batch`);
      else if (entry.timestamp !== this.maxTimestamp) {
        const what = `timestamp ${entry.timestamp} where the greatest so far is ${this.maxTimestamp}`;
        this.astray(SUFFIX.timeIndex, entry.at, what);
      }
      entry = this.times[++this.nextTime];
    }
  }

  /** The segment has ended; `isWhole` when its indexes were finished with it. */
  end(isWhole: boolean): void {
    const offset = this.offsets[this.nextOffset];
    if (offset) this.astray(SUFFIX.index, offset.at, `position ${offset.position} lies behind the last batch`);
    const time = this.times[this.nextTime];
    if (time) this.astray(SUFFIX.timeIndex, time.at, `offset ${time.offset} lies behind the last batch`);
    const newest = this.times.at(-1)?.timestamp ?? -1;
    // No entry at all is taken for a lost file: the index is made again.
    if (isWhole && this.times.length > 0 && newest < this.maxTimestamp) {
      const what = `the last entry has timestamp ${newest}, a batch has ${this.maxTimestamp}`;
      this.astray(SUFFIX.timeIndex, (this.times.length - 1) * TIME_ENTRY_BYTES, what);
    }
  }

  private astray(suffix: string, at: number, what: string): void {
    this.report(problem(this.path(suffix), at, what));
  }
}

function problem(file: string, position: number, what: string): Parameters<Report>[0] {
  const meaning = 'reads by offset or time may miss records; remove the file, it is made again from the log';
  return { severity: 'problem', file, position, what, meaning };
}
