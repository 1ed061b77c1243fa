import { batchSizeAt, isEmptyAt, nextOffsetAt } from './batch.ts';

const SLAB_BYTES = 256 * 1024;
/** Of a slab: what is bigger than this has one of its own. */
const BIG = 1 / 4;
/** The same of bytes that need no copy: keeping them costs the collector some objects, copying them costs time. */
const WORTH_KEEPING = 1 / 16;
const EMPTY = new Uint8Array(0);

/** Appends of whichever logs, one behind the other, or a single big one. Gone as a whole. */
interface Slab {
  bytes: Uint8Array;
  used: number;
  runs: Run[];
}

/** One log's appends in one slab, without a gap. Columns instead of objects: there may be a hundred thousand appends. */
interface Run {
  tail: CachedTail;
  slab: Slab;
  baseOffsets: number[];
  /** Where each append lies in the slab. */
  from: number[];
  to: number[];
  /** Behind the last of them. */
  nextOffset: number;
}

/**
 * The newest batches of all logs, within one budget; whatever was appended first goes first, in whichever log it is.
 * Live readers are served from here without touching the disk.
 *
 * Small appends are copied into slabs and go slab by slab: a buffer for each would make the young generation's survivors,
 * and with them the pauses, many times as big.
 */
export class TailCache {
  hits = 0;
  misses = 0;
  /** Of all slabs, full or not. */
  sizeBytes = 0;
  private readonly budgetBytes: number;
  private readonly slabBytes: number;
  private slabs: Slab[] = [];
  /** The slab that small appends go to, and what big ones have brought since it was begun. */
  private current: Slab | null = null;
  private bigBytes = 0;

  constructor(budgetBytes: number, slabBytes = SLAB_BYTES) {
    this.budgetBytes = budgetBytes;
    this.slabBytes = Math.min(slabBytes, Math.ceil(budgetBytes / 4));
  }

  tail(): CachedTail {
    return new CachedTail(this);
  }

  /** `copy`: the bytes are a small part of something big, which would stay in memory with them. */
  add(tail: CachedTail, baseOffset: number, nextOffset: number, bytes: Uint8Array, copy: boolean): void {
    if (bytes.length > this.budgetBytes) {
      this.drop(tail);
      return;
    }
    const slab = this.slabFor(bytes, copy);
    const from = slab.used;
    if (slab.bytes !== bytes) slab.bytes.set(bytes, from);
    slab.used += bytes.length;
    const run = tail.runIn(slab);
    run.baseOffsets.push(baseOffset);
    run.from.push(from);
    run.to.push(slab.used);
    run.nextOffset = nextOffset;
  }

  /** Forgets one log. */
  drop(tail: CachedTail): void {
    for (const run of tail.runs.splice(0)) this.release(run);
  }

  /** Forgets a log's appends that end at or below `offset`. */
  dropBelow(tail: CachedTail, offset: number): void {
    for (let run = tail.runs[0]; run && run.nextOffset <= offset; run = tail.runs[0]) {
      tail.runs.shift();
      this.release(run);
    }
    const [run] = tail.runs;
    if (!run) return;
    let gone = 0;
    while ((run.baseOffsets[gone + 1] ?? Infinity) <= offset) gone++;
    for (const column of [run.baseOffsets, run.from, run.to]) column.splice(0, gone);
  }

  private slabFor(bytes: Uint8Array, copy: boolean): Slab {
    const { length } = bytes;
    if (length > this.slabBytes * (copy ? BIG : WORTH_KEEPING)) {
      this.bigBytes += length;
      return this.newSlab(copy ? Buffer.allocUnsafeSlow(length) : bytes);
    }
    // Whoever has appends in it loses what came between them too when it goes.
    const isOld = this.bigBytes > this.slabBytes;
    if (!this.current || isOld || this.current.used + length > this.slabBytes) {
      this.bigBytes = 0;
      this.current = this.newSlab(Buffer.allocUnsafeSlow(this.slabBytes));
    }
    return this.current;
  }

  private newSlab(bytes: Uint8Array): Slab {
    while (this.slabs.length > 0 && this.sizeBytes + bytes.length > this.budgetBytes) this.evictOldest();
    const slab = { bytes, used: 0, runs: [] };
    this.slabs.push(slab);
    this.sizeBytes += bytes.length;
    return slab;
  }

  private evictOldest(): void {
    const slab = this.slabs.shift();
    if (!slab) return;
    for (const run of slab.runs.slice()) {
      const { runs } = run.tail;
      // What a log has before it is older, or would be on the far side of a gap.
      for (const gone of runs.splice(0, runs.indexOf(run) + 1)) this.release(gone);
    }
    this.empty(slab);
  }

  /** A run that its log has forgotten: with the last of them the slab's bytes go. */
  private release(run: Run): void {
    const { slab } = run;
    slab.runs = slab.runs.filter(other => other !== run);
    if (slab.runs.length === 0) this.empty(slab);
  }

  /** It may stay in the queue. */
  private empty(slab: Slab): void {
    if (slab === this.current) this.current = null;
    this.sizeBytes -= slab.bytes.length;
    slab.bytes = EMPTY;
    slab.runs = [];
  }
}

/** One log's part of the cache: its newest appends without a gap. */
export class CachedTail {
  readonly runs: Run[] = [];
  private readonly cache: TailCache;

  constructor(cache: TailCache) {
    this.cache = cache;
  }

  /** The batches from `offset` on that end at or below `limit`; null when `offset` is no longer (or not) here. Batches
   * without a record are only given when nothing comes behind them, as from the disk (log-reader.ts). */
  read(offset: number, limit: number, maxBytes: number): Uint8Array[] | null {
    const { runs } = this;
    let r = firstAbove(runs.length, offset, i => (runs[i] as Run).nextOffset);
    const first = runs[r];
    if (!first || (first.baseOffsets[0] as number) > offset) {
      this.cache.misses++;
      return null;
    }
    this.cache.hits++;
    const found: Uint8Array[] = [];
    const empty: Uint8Array[] = [];
    let room = maxBytes;
    let i = firstAbove(first.baseOffsets.length, offset, n => first.baseOffsets[n] as number) - 1;
    for (let run: Run | undefined = first; run; run = runs[++r], i = 0) {
      const { bytes } = run.slab;
      for (; i < run.from.length; i++) {
        const to = run.to[i] as number;
        for (let at = run.from[i] as number; at < to; ) {
          const size = batchSizeAt(bytes, at);
          const next = nextOffsetAt(bytes, at);
          if (next > limit) return found.length > 0 ? found : empty;
          if (next > offset && isEmptyAt(bytes, at)) empty.push(bytes.subarray(at, at + size));
          else if (next > offset) {
            if (size > room && found.length > 0) return found;
            found.push(size === bytes.length ? bytes : bytes.subarray(at, at + size));
            room -= size;
          }
          at += size;
        }
        if (room <= 0) return found;
      }
    }
    return found.length > 0 ? found : empty;
  }

  /** Where the next append goes that lies in `slab`. */
  runIn(slab: Slab): Run {
    const last = this.runs.at(-1);
    if (last?.slab === slab) return last;
    const run: Run = { tail: this, slab, baseOffsets: [], from: [], to: [], nextOffset: 0 };
    this.runs.push(run);
    slab.runs.push(run);
    return run;
  }
}

/** Of ascending values the first that is above `offset`. */
function firstAbove(length: number, offset: number, valueAt: (i: number) => number): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (valueAt(middle) <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
