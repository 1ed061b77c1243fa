import type { Disk } from '../../base/disk.ts';
import { type BatchHeader, isControl, lastOffset } from '../batch.ts';
import { LeaderEpochs } from '../leader-epochs.ts';
import { EPOCHS_FILE, METADATA_FILE, offsetInName, parseMetadata, readWhole, SUFFIX } from '../log-files.ts';
import type { Finding, Report } from './finding.ts';
import { readMarker } from '../marker.ts';
import { AbortedCheck } from './aborted.ts';
import { IndexCheck } from './indexes.ts';
import { ProducerSequences } from './producers.ts';
import { walkBatches } from './walk.ts';

const SWAP_SUFFIX = `${SUFFIX.log}.swap`;

/** What the files beside the logs say about one of them. */
export interface LogFacts {
  /** The directory of logs, and this log's folder in it. */
  root: string;
  name: string;
  /** The last process closed the directory properly. */
  isClean: boolean;
  /** From the checkpoint files; undefined when they do not name the log. */
  recoveryPoint: number | undefined;
  startOffset: number | undefined;
  /** Compaction has been at work: closed segments may lack offsets. */
  isCompacted: boolean;
  /** Modules have looked at the records before they were stored: batches may lack offsets, but none between them. */
  isScreened: boolean;
}

/** One log as its bytes tell it. */
export interface VerifiedLog {
  name: string;
  /** 32 hex digits; null when its metadata is lost. */
  topicId: string | null;
  startOffset: number;
  endOffset: number;
  batches: number;
  /** Transactions without a marker, by producer. */
  open: { producerId: number; epoch: number; from: number }[];
  /** The greatest producer id that wrote to it; -1 for none. */
  newestProducerId: number;
}

interface SegmentFile {
  baseOffset: number;
  file: string;
  isSwap: boolean;
}

/** Recomputes one log from its bytes and reports whatever does not fit together. */
export async function verifyLog(disk: Disk, facts: LogFacts, report: Report): Promise<VerifiedLog> {
  return new LogCheck(disk, facts, report).run();
}

class LogCheck {
  private readonly disk: Disk;
  private readonly facts: LogFacts;
  private readonly report: Report;
  private readonly producers = new ProducerSequences();
  private readonly result: VerifiedLog;
  private epochs: LeaderEpochs | null = null;
  private epoch = -1;
  /** Offset that the next batch should have. */
  private expected = 0;
  private hasGap = false;

  constructor(disk: Disk, facts: LogFacts, report: Report) {
    this.disk = disk;
    this.facts = facts;
    this.report = report;
    this.result = {
      name: facts.name,
      topicId: null,
      startOffset: 0,
      endOffset: 0,
      batches: 0,
      open: [],
      newestProducerId: -1,
    };
  }

  async run(): Promise<VerifiedLog> {
    const { facts, result } = this;
    await this.readMetadata();
    const segments = await this.segments();
    const first = segments[0]?.baseOffset ?? facts.startOffset ?? 0;
    this.expected = first;
    result.startOffset = Math.max(facts.startOffset ?? 0, first);
    if (first > (facts.startOffset ?? 0) && segments.length > 0) {
      this.doubt(
        facts.isClean,
        '.',
        null,
        `the first segment begins at ${first}, the log's start is stored as ${facts.startOffset ?? 0}`,
        `records ${facts.startOffset ?? 0} to ${first - 1} are not there`,
      );
    }
    await this.readEpochs();
    for (const [i, segment] of segments.entries()) {
      if (!(await this.segment(segment, segments[i + 1]?.baseOffset))) break;
    }
    result.endOffset = Math.max(this.expected, result.startOffset);
    result.open = [...this.producers.open].map(([producerId, open]) => ({ producerId, ...open }));
    result.newestProducerId = this.producers.newest;
    this.checkEnd();
    await this.checkSnapshots();
    return result;
  }

  private async readMetadata(): Promise<void> {
    const text = await readWhole(this.disk, this.path(METADATA_FILE));
    this.result.topicId = text && parseMetadata(text.toString());
    if (this.result.topicId) return;
    const hasLog = (await this.disk.list(this.folder)).some(name => offsetInName(name, SUFFIX.log) !== null);
    const what = text ? 'no topic id' : 'missing';
    const meaning = hasLog
      ? 'the log is not found by the broker unless its catalogue names it'
      : 'the making of this log was interrupted; it is finished or ignored at the next start';
    this.doubt(hasLog, METADATA_FILE, null, what, meaning);
  }

  private async readEpochs(): Promise<void> {
    const text = await readWhole(this.disk, this.path(EPOCHS_FILE));
    this.epochs = text && LeaderEpochs.parse(text.toString());
    if (text && !this.epochs) {
      this.problem(EPOCHS_FILE, null, 'not a list of epochs', 'the next start begins the epochs anew');
    }
    if (!text && this.result.topicId) {
      const meaning = 'the next start begins the epochs anew; consumers may be told of a truncation that never was';
      this.doubt(this.facts.isClean, EPOCHS_FILE, null, 'missing', meaning);
    }
  }

  /** In order, as the next start would see them: without those below the start, and with an interrupted swap done. */
  private async segments(): Promise<SegmentFile[]> {
    const names = await this.disk.list(this.folder);
    let found: SegmentFile[] = [];
    for (const name of names) {
      const baseOffset = offsetInName(name, SUFFIX.log);
      if (baseOffset !== null) found.push({ baseOffset, file: name, isSwap: false });
      if (name.endsWith('.cleaned')) {
        this.doubt(this.facts.isClean, name, null, 'left over', 'an interrupted compaction; the next start removes it');
      }
    }
    for (const name of names) {
      const baseOffset = offsetInName(name, SWAP_SUFFIX);
      if (baseOffset === null) continue;
      let end = baseOffset + 1;
      const file = await this.disk.open(this.path(name), 'read');
      try {
        await walkBatches(file, header => (end = lastOffset(header) + 1));
      } finally {
        await file.close();
      }
      this.doubt(this.facts.isClean, name, null, 'not yet swapped in', 'a compaction that the next start completes');
      found = found.filter(segment => segment.baseOffset < baseOffset || segment.baseOffset >= end);
      found.push({ baseOffset, file: name, isSwap: true });
    }
    found.sort((a, b) => a.baseOffset - b.baseOffset);
    const start = this.facts.startOffset ?? 0;
    return found.filter((_, i) => (found[i + 1]?.baseOffset ?? Infinity) > start);
  }

  /** False when the next start would cut the log in this segment. */
  private async segment(segment: SegmentFile, next: number | undefined): Promise<boolean> {
    const { facts, disk } = this;
    const { baseOffset, file } = segment;
    if (baseOffset !== this.expected) {
      const [from, to] = [Math.min(baseOffset, this.expected), Math.max(baseOffset, this.expected)];
      this.problem(
        file,
        0,
        `begins at ${baseOffset} where ${this.expected} comes next`,
        `${from} to ${to - 1} are lost`,
      );
      this.expected = baseOffset;
      this.hasGap = true;
    }
    // Below the recovery point everything was synced before the last process ended.
    const isFinished = facts.isClean || (next !== undefined && next < (facts.recoveryPoint ?? 0));
    const trusted = isFinished ? Infinity : (facts.recoveryPoint ?? 0);
    const index = segment.isSwap
      ? null
      : await IndexCheck.open(disk, facts.root, facts.name, baseOffset, trusted, this.report);
    const aborted = segment.isSwap
      ? null
      : await AbortedCheck.open(
          disk,
          { root: facts.root, log: facts.name, baseOffset },
          { trusted, mayBeMore: facts.isCompacted || (facts.startOffset ?? 0) > 0 },
          this.report,
        );
    const handle = await disk.open(this.path(file), 'read');
    let end;
    let size;
    try {
      size = await handle.size();
      const check = (header: BatchHeader, position: number, bytes: Uint8Array | null): void => {
        const open = this.producers.open.get(header.producerId);
        this.batch(header, file, position, next);
        index?.batch(header, position);
        if (!open || !isControl(header) || !bytes || readMarker(bytes, 0, header)?.kind !== 'abort') return;
        aborted?.ended({ producerId: header.producerId, firstOffset: open.from, lastOffset: header.baseOffset });
      };
      end = await walkBatches(handle, check, isControl, header => this.tornOffset(header));
    } finally {
      await handle.close();
    }
    // What lies behind damage is not known, and not the index's fault.
    if (end.bad === null || end.bad === 'zeros') {
      index?.end(isFinished);
      aborted?.end();
    }
    if (end.bad === null || (end.bad === 'zeros' && !isFinished)) {
      return next === undefined || this.endsAt(next, file, end.position);
    }
    const what = end.bad === 'zeros' ? `${size - end.position} zeros behind the last batch` : end.bad;
    const isTorn = !facts.isClean && this.expected >= (facts.recoveryPoint ?? 0);
    if (isTorn) {
      const meaning = `a torn tail from offset ${this.expected} on, of which nothing was acknowledged; it is cut off`;
      this.report(this.finding('note', file, end.position, what, meaning));
      return next === this.expected;
    }
    this.problem(file, end.position, what, `nothing from offset ${this.expected} on can be read in this file`);
    if (next !== undefined) this.expected = next;
    this.hasGap = true;
    return true;
  }

  private endsAt(next: number, file: string, position: number): boolean {
    if (this.expected === next) return true;
    if (!this.facts.isClean && this.expected >= (this.facts.recoveryPoint ?? 0) && this.expected < next) {
      const meaning = `a torn tail from offset ${this.expected} on, of which nothing was acknowledged; it is cut off`;
      this.report(
        this.finding('note', file, position, `ends at ${this.expected}, the next segment is ${next}`, meaning),
      );
      return false;
    }
    return true;
  }

  /** Base offset and epoch lie outside the CRC: of a batch that no sync covered, the sector with them may be lost alone.
   * Recovery sees it by the offset, and cuts there. */
  private tornOffset({ baseOffset }: BatchHeader): string | null {
    const { isClean, recoveryPoint = 0 } = this.facts;
    if (isClean || this.expected < recoveryPoint || baseOffset === this.expected) return null;
    return `offset ${baseOffset} where ${this.expected} comes next`;
  }

  private batch(header: BatchHeader, file: string, position: number, next: number | undefined): void {
    const { baseOffset } = header;
    this.result.batches++;
    if (baseOffset !== this.expected) {
      const isExplained = this.facts.isCompacted && next !== undefined && baseOffset > this.expected;
      if (!isExplained) {
        const meaning =
          baseOffset > this.expected
            ? `records ${this.expected} to ${baseOffset - 1} are missing`
            : `offsets ${baseOffset} to ${this.expected - 1} exist twice`;
        this.problem(file, position, `offset ${baseOffset} where ${this.expected} comes next`, meaning);
      }
      this.hasGap = true;
    }
    if (next !== undefined && lastOffset(header) >= next) {
      const what = `a batch that ends with ${lastOffset(header)} in the segment before ${next}`;
      this.problem(file, position, what, 'offsets exist twice');
    }
    const mayLack = this.facts.isScreened || (this.facts.isCompacted && next !== undefined);
    if (header.recordCount !== header.lastOffsetDelta + 1 && !mayLack) {
      const what = `${header.recordCount} records over ${header.lastOffsetDelta + 1} offsets`;
      this.problem(file, position, what, 'records are missing in a log that is not compacted');
    }
    this.checkEpoch(header, file, position);
    // After a gap nothing is known of any producer's sequences: offsets are missing for all of them.
    const wrong = this.producers.next(header, this.hasGap || this.facts.isCompacted);
    if (wrong !== null) this.problem(file, position, wrong, 'a retried batch was written twice, or one is missing');
    this.expected = lastOffset(header) + 1;
  }

  private checkEpoch(header: BatchHeader, file: string, position: number): void {
    const { leaderEpoch, baseOffset } = header;
    if (leaderEpoch < this.epoch) {
      const what = `leader epoch ${leaderEpoch} behind ${this.epoch}`;
      this.problem(file, position, what, 'consumers may be told of a truncation that never was');
    } else if (this.epochs && this.epochs.latest >= 0) {
      const known = this.epochs.epochOf(baseOffset);
      if (known !== leaderEpoch) {
        const what = `leader epoch ${leaderEpoch} at offset ${baseOffset}, for which ${EPOCHS_FILE} says ${known}`;
        this.problem(file, position, what, 'consumers may be told of a truncation that never was');
      }
    }
    this.epoch = Math.max(this.epoch, leaderEpoch);
  }

  private checkEnd(): void {
    const { facts, result, producers } = this;
    const { endOffset } = result;
    const began = this.epochs?.lastStart ?? 0;
    if (began > endOffset) {
      const what = `epoch ${this.epochs?.latest} begins at ${began}, the log ends at ${endOffset}`;
      this.doubt(facts.isClean, EPOCHS_FILE, null, what, 'the next start forgets that epoch, and begins one anew');
    }
    if ((facts.startOffset ?? 0) > this.expected) {
      const what = `the log ends at ${this.expected}, its start is stored as ${facts.startOffset}`;
      this.doubt(facts.isClean, '.', null, what, 'the log begins anew at its start');
    } else if ((facts.recoveryPoint ?? 0) > endOffset) {
      const what = `the log ends at ${endOffset}, but was synced up to ${facts.recoveryPoint}`;
      this.problem('.', null, what, `records ${endOffset} to ${(facts.recoveryPoint ?? 0) - 1} are lost`);
    }
    for (const [producerId, { from }] of producers.open) {
      const what = `an open transaction of producer ${producerId} since offset ${from}`;
      const meaning = 'readers of committed records wait there until it ends or times out';
      this.report(this.finding('note', '.', null, what, meaning));
    }
  }

  private async checkSnapshots(): Promise<void> {
    for (const name of await this.disk.list(this.folder)) {
      const offset = offsetInName(name, SUFFIX.snapshot);
      if (offset === null || offset <= this.result.endOffset) continue;
      const what = `tells of offsets up to ${offset}, the log ends at ${this.result.endOffset}`;
      this.doubt(this.facts.isClean, name, null, what, 'the next start removes it');
    }
  }

  private get folder(): string {
    return `${this.facts.root}/${this.facts.name}`;
  }

  private path(file: string): string {
    return `${this.folder}/${file}`;
  }

  private doubt(isProblem: boolean, file: string, position: number | null, what: string, meaning: string): void {
    this.report(this.finding(isProblem ? 'problem' : 'note', file, position, what, meaning));
  }

  private problem(file: string, position: number | null, what: string, meaning: string): void {
    this.doubt(true, file, position, what, meaning);
  }

  private finding(
    severity: Finding['severity'],
    file: string,
    position: number | null,
    what: string,
    meaning: string,
  ): Finding {
    return { severity, file: file === '.' ? this.facts.name : `${this.facts.name}/${file}`, position, what, meaning };
  }
}
