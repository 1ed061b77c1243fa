import type { Disk } from '../../base/disk.ts';
import { offsetName, readWhole, SUFFIX } from '../log-files.ts';
import { type AbortedTransaction, decodeEntries, TXN_ENTRY_BYTES } from '../txn-index.ts';
import type { Report } from './finding.ts';

const MEANING = 'readers of committed records may be given what was aborted; the next start makes the index again';
const LOST = 'readers of committed records are given what was aborted; remove the file, and those of the snapshots';

/** Holds a segment's index of aborted transactions beside the abort markers in it, as these go by. */
export class AbortedCheck {
  private readonly file: string;
  private readonly report: Report;
  private readonly entries: readonly AbortedTransaction[];
  /** Of a log that was compacted: markers and records of what was aborted may be gone. */
  private readonly mayBeMore: boolean;
  /** Markers at or above are indexed again after a crash. */
  private readonly trusted: number;
  private next = 0;

  private constructor(
    file: string,
    entries: readonly AbortedTransaction[],
    trusted: number,
    mayBeMore: boolean,
    report: Report,
  ) {
    this.file = file;
    this.entries = entries;
    this.trusted = trusted;
    this.mayBeMore = mayBeMore;
    this.report = report;
  }

  static async open(
    disk: Disk,
    { root, log, baseOffset }: { root: string; log: string; baseOffset: number },
    { trusted, mayBeMore }: { trusted: number; mayBeMore: boolean },
    report: Report,
  ): Promise<AbortedCheck> {
    const file = `${log}/${offsetName(baseOffset, SUFFIX.transactions)}`;
    const bytes = (await readWhole(disk, `${root}/${file}`)) ?? Buffer.alloc(0);
    const entries = decodeEntries(bytes, baseOffset);
    const whole = entries.length * TXN_ENTRY_BYTES;
    if (whole !== bytes.length && trusted === Infinity) {
      const what = `no entry of an aborted transaction behind ${entries.length} good ones`;
      report({ severity: 'problem', file, position: whole, what, meaning: MEANING });
    }
    const below = entries.filter(({ lastOffset }) => lastOffset < trusted);
    return new AbortedCheck(file, below, trusted, mayBeMore, report);
  }

  /** An abort marker at `lastOffset` ended a transaction of which records are there. */
  ended(aborted: { producerId: number; firstOffset: number; lastOffset: number }): void {
    this.passOver(aborted.lastOffset);
    if (aborted.lastOffset >= this.trusted) return;
    const entry = this.entries[this.next];
    const { producerId, firstOffset, lastOffset } = aborted;
    const range = `of producer ${producerId} from ${firstOffset} to its marker at ${lastOffset}`;
    if (entry?.lastOffset !== lastOffset) this.wrong(`the transaction ${range} was aborted, and is not in it`, LOST);
    else {
      this.next++;
      const isSame = entry.producerId === producerId && (entry.firstOffset === firstOffset || this.mayBeMore);
      const said = `producer ${entry.producerId} from ${entry.firstOffset}`;
      if (!isSame) this.wrong(`it says ${said} where the log has the transaction ${range}`, LOST);
    }
  }

  /** The segment has ended. */
  end(): void {
    this.passOver(Infinity);
  }

  private passOver(offset: number): void {
    for (let entry = this.entries[this.next]; entry && entry.lastOffset < offset; entry = this.entries[++this.next]) {
      if (this.mayBeMore) continue;
      const what = `it has a transaction of producer ${entry.producerId} that was not aborted at ${entry.lastOffset}`;
      this.wrong(what, 'readers of committed records may miss some; remove the file, and those of the snapshots');
    }
  }

  private wrong(what: string, meaning: string): void {
    this.report({ severity: 'problem', file: this.file, position: this.next * TXN_ENTRY_BYTES, what, meaning });
  }
}
