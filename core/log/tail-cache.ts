import { batchSizeAt, nextOffsetAt } from './batch.ts';

/** What one append wrote: whole batches. */
interface Cached {
  tail: CachedTail;
  baseOffset: number;
  nextOffset: number;
  bytes: Uint8Array;
}

const SLAB_BYTES = 256 * 1024;

/**
 * The newest batches of all logs, within one budget; whatever was appended first goes first, in whichever log it is.
 * Live readers are served from here without touching the disk.
 */
export class TailCache {
  hits = 0;
  misses = 0;
  sizeBytes = 0;
  private readonly budgetBytes: number;
  private fifo: (Cached | null)[] = [];
  private first = 0;
  private slab: Buffer | null = null;
  private slabUsed = 0;

  constructor(budgetBytes: number) {
    this.budgetBytes = budgetBytes;
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
    const cached = { tail, baseOffset, nextOffset, bytes: copy ? this.copied(bytes) : bytes };
    tail.entries.push(cached);
    this.fifo.push(cached);
    this.sizeBytes += bytes.length;
    while (this.sizeBytes > this.budgetBytes) this.evictOldest();
  }

  /** Forgets one log. */
  drop(tail: CachedTail): void {
    for (let i = tail.first; i < tail.entries.length; i++) {
      const cached = tail.entries[i] as Cached;
      this.sizeBytes -= cached.bytes.length;
      cached.bytes = EMPTY;
    }
    tail.entries = [];
    tail.first = 0;
  }

  /** Forgets a log's entries that end at or below `offset`. */
  dropBelow(tail: CachedTail, offset: number): void {
    for (let cached = tail.entries[tail.first]; cached && cached.nextOffset <= offset; ) {
      this.sizeBytes -= cached.bytes.length;
      cached.bytes = EMPTY;
      tail.dropFirst();
      cached = tail.entries[tail.first];
    }
  }

  private evictOldest(): void {
    const cached = this.fifo[this.first];
    this.fifo[this.first++] = null;
    if (this.first > 1024 && this.first * 2 > this.fifo.length) {
      this.fifo = this.fifo.slice(this.first);
      this.first = 0;
    }
    // A dropped log's entries are still queued, without their bytes.
    if (!cached || cached.bytes.length === 0) return;
    this.sizeBytes -= cached.bytes.length;
    // The tail forgets its first entries many at a time: their bytes go now.
    cached.bytes = EMPTY;
    cached.tail.dropFirst();
  }

  /** Copies go into shared slabs: neighbours were appended together and are evicted together. */
  private copied(bytes: Uint8Array): Uint8Array {
    if (bytes.length > SLAB_BYTES / 4) return Buffer.allocUnsafeSlow(bytes.length).fill(bytes);
    if (!this.slab || this.slabUsed + bytes.length > SLAB_BYTES) {
      this.slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.slabUsed = 0;
    }
    const copy = this.slab.subarray(this.slabUsed, this.slabUsed + bytes.length);
    copy.set(bytes);
    this.slabUsed += bytes.length;
    return copy;
  }
}

const EMPTY = new Uint8Array(0);

/** One log's part of the cache: its newest appends without a gap. */
export class CachedTail {
  entries: Cached[] = [];
  first = 0;
  private readonly cache: TailCache;

  constructor(cache: TailCache) {
    this.cache = cache;
  }

  /** The batches from `offset` on that end at or below `limit`; null when `offset` is no longer (or not) here. */
  read(offset: number, limit: number, maxBytes: number): Uint8Array[] | null {
    const from = this.find(offset);
    if (from < 0) {
      this.cache.misses++;
      return null;
    }
    this.cache.hits++;
    const found: Uint8Array[] = [];
    let room = maxBytes;
    for (let i = from; i < this.entries.length; i++) {
      const { bytes } = this.entries[i] as Cached;
      for (let at = 0; at < bytes.length; ) {
        const size = batchSizeAt(bytes, at);
        const next = nextOffsetAt(bytes, at);
        if (next > limit) return found;
        if (next > offset) {
          if (size > room && found.length > 0) return found;
          found.push(size === bytes.length ? bytes : bytes.subarray(at, at + size));
          room -= size;
        }
        at += size;
      }
      if (room <= 0) return found;
    }
    return found;
  }

  dropFirst(): void {
    this.first++;
    if (this.first > 64 && this.first * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.first);
      this.first = 0;
    }
  }

  private find(offset: number): number {
    let low = this.first;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.entries[middle] as Cached).nextOffset <= offset) low = middle + 1;
      else high = middle;
    }
    const entry = this.entries[low];
    return entry && entry.baseOffset <= offset ? low : -1;
  }
}
