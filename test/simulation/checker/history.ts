import { type Batch, batchesOf, type Read } from './batches.ts';

/** What a Fetch said of one partition. */
export interface Answer {
  records: Uint8Array | null;
  highWatermark: number;
  lastStableOffset: number;
  logStartOffset: number;
  abortedTransactions: readonly { producerId: number; firstOffset: number }[] | null;
}

export type Aborted = NonNullable<Answer['abortedTransactions']>[number];

/** What a client delivers of these (KIP-98): the transactions listed are hidden up to their abort marker. */
export function visible(batches: readonly Batch[], aborted: readonly Aborted[]): Read[] {
  const upcoming = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset);
  const hidden = new Set<number>();
  return batches.flatMap(batch => {
    while (upcoming[0] && upcoming[0].firstOffset <= batch.last) hidden.add(upcoming.shift()?.producerId ?? -1);
    if (batch.marker === 'abort') hidden.delete(batch.producerId);
    return batch.isTransactional && hidden.has(batch.producerId) ? [] : batch.records;
  });
}

/**
 * Everything that one partition ever served, to readers of all records and to readers of committed ones. What was
 * served once stays as it was, whatever happens to the broker in between.
 */
export class History {
  readonly name: string;
  /** In offset order, of all times. */
  private readonly batches = new Map<number, Batch>();
  /** Delivered to a reader of committed records: offset and value. */
  private readonly delivered = new Map<number, string | null>();
  /** Behind the last batch that was served. */
  servedEnd = 0;
  /** As a deletion that was acknowledged made it. */
  deletedTo = 0;
  private committedCache: Read[] | null = null;
  private next = 0;
  private committedNext = 0;
  stable = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** After a restart readers begin at the log's start again. */
  restart(): void {
    this.next = -1;
    this.committedNext = -1;
  }

  /** Where to fetch next. */
  from(isolation: 'all' | 'committed', logStart: number): number {
    const at = isolation === 'all' ? this.next : this.committedNext;
    return Math.max(at, logStart, 0);
  }

  /** Takes an answer in; `asked` is the offset that was fetched. Returns true when there may be more. */
  take(isolation: 'all' | 'committed', asked: number, answer: Answer): boolean {
    if (answer.logStartOffset < this.deletedTo) {
      throw this.wrong(`begins at ${answer.logStartOffset}, records below ${this.deletedTo} were deleted`);
    }
    const batches = batchesOf(answer.records ?? new Uint8Array());
    const end = batches.at(-1)?.last ?? asked - 1;
    if (end >= answer.highWatermark) throw this.wrong(`serves ${end}, its high watermark is ${answer.highWatermark}`);
    if (isolation === 'all') {
      this.takeAll(asked, batches);
      this.next = end + 1;
    } else {
      if (end >= answer.lastStableOffset) throw this.wrong(`serves ${end} above its last stable offset`);
      this.takeCommitted(asked, batches, answer.abortedTransactions ?? []);
      this.committedNext = end + 1;
    }
    this.stable = Math.max(this.stable, answer.lastStableOffset);
    return batches.length > 0;
  }

  /** All of the log was read anew since the last restart, from `logStart` to `highWatermark`. */
  wasReread(logStart: number, highWatermark: number): void {
    if (highWatermark < this.servedEnd && logStart <= this.servedEnd) {
      throw this.wrong(`ends at ${highWatermark}, records up to ${this.servedEnd} were served before`);
    }
  }

  private takeAll(asked: number, batches: readonly Batch[]): void {
    let expected = asked;
    for (const batch of batches) {
      if (batch.base > expected || batch.last < expected) {
        throw this.wrong(`has a batch at ${batch.base} to ${batch.last} where ${expected} comes next`);
      }
      expected = batch.last + 1;
      const before = this.batches.get(batch.base);
      if (before) {
        if (before.crc !== batch.crc || before.last !== batch.last) throw this.wrong(`changed at ${batch.base}`);
        continue;
      }
      if (batch.base < this.servedEnd) throw this.wrong(`has another batch at ${batch.base} than it served before`);
      this.batches.set(batch.base, batch);
      this.servedEnd = batch.last + 1;
      this.committedCache = null;
    }
  }

  private takeCommitted(asked: number, batches: readonly Batch[], aborted: readonly Aborted[]): void {
    for (const { offset, value } of visible(batches, aborted)) {
      if (offset < asked) continue;
      const before = this.delivered.get(offset);
      if (before !== undefined && before !== value) throw this.wrong(`delivers another record at ${offset}`);
      this.delivered.set(offset, value);
    }
  }

  /** Records of committed transactions and those outside of any, below the last stable offset, as the markers say. */
  committed(): Read[] {
    if (this.committedCache) return this.committedCache;
    const ordered = [...this.batches.values()].toSorted((a, b) => a.base - b.base);
    const fates = new Map<Batch, 'commit' | 'abort'>();
    const open = new Map<number, Batch[]>();
    for (const batch of ordered) {
      if (!batch.isTransactional) continue;
      const own = open.get(batch.producerId) ?? [];
      if (batch.marker) {
        for (const each of own) fates.set(each, batch.marker);
        open.delete(batch.producerId);
      } else open.set(batch.producerId, [...own, batch]);
    }
    const found = ordered.flatMap(batch =>
      !batch.isTransactional || fates.get(batch) === 'commit' ? (batch.marker ? [] : batch.records) : [],
    );
    this.committedCache = found;
    return found;
  }

  /** Both kinds of readers have read to the end: what they were given agrees. `from`: where the log began meanwhile. */
  compareReaders(from: number): void {
    const committed = new Map(this.committed().map(({ offset, value }) => [offset, value]));
    for (const [offset, value] of this.delivered) {
      if (committed.get(offset) !== value) throw this.wrong(`delivered ${value} at ${offset}, which is not committed`);
    }
    for (const [offset, value] of committed) {
      if (offset < from || offset >= this.stable || this.delivered.has(offset)) continue;
      throw this.wrong(`did not deliver ${value} at ${offset}, which is committed`);
    }
  }

  /** Every record, whatever became of its transaction. */
  all(): Read[] {
    return [...this.batches.values()].toSorted((a, b) => a.base - b.base).flatMap(batch => batch.records);
  }

  wrong(what: string): Error {
    return new Error(`${this.name} ${what}`);
  }
}
