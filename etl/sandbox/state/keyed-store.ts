import { OrderedKeys } from './ordered-keys.ts';

/** What an entry costs beside its bytes, as limits count it. */
const ENTRY_BYTES = 32;

/** A place in a store's history, to go back to. */
export type Mark = number;

/**
 * Keys and values, both bytes kept as latin1 strings: small, cheap to compare, in byte order when they are sorted.
 * Every change can be taken back until it is settled; what is settled is what the last answered task left.
 */
export class KeyedStore {
  /** Of all entries, each with what it costs beside its bytes. */
  bytes = 0;
  private readonly entries = new Map<string, string>();
  /** Built when it is first asked for. */
  private ordered: OrderedKeys | null = null;
  /** Changes since the last `settle`: the key, and what was there before. */
  private readonly undo: { key: string; before: string | undefined }[] = [];

  get size(): number {
    return this.entries.size;
  }

  get(key: string): string | undefined {
    return this.entries.get(key);
  }

  /** undefined removes it. */
  set(key: string, value: string | undefined): void {
    const before = this.entries.get(key);
    if (before === value) return;
    this.undo.push({ key, before });
    this.put(key, before, value);
  }

  /** As `set`, settled at once. */
  load(key: string, value: string | undefined): void {
    this.put(key, this.entries.get(key), value);
  }

  /** What `bytes` is after `set`. */
  bytesWith(key: string, value: string): number {
    return this.bytes - costOf(key, this.entries.get(key)) + costOf(key, value);
  }

  /** The keys at or above `from`, ascending. The store is not to be changed meanwhile. */
  keysFrom(from: string): Generator<string> {
    this.ordered ??= new OrderedKeys(this.entries.keys());
    return this.ordered.from(from);
  }

  get firstKey(): string | undefined {
    this.ordered ??= new OrderedKeys(this.entries.keys());
    return this.ordered.first;
  }

  all(): IterableIterator<[key: string, value: string]> {
    return this.entries.entries();
  }

  mark(): Mark {
    return this.undo.length;
  }

  /** Everything since then has never been. */
  rollBack(to: Mark): void {
    while (this.undo.length > to) {
      const { key, before } = this.undo.pop() as { key: string; before: string | undefined };
      this.put(key, this.entries.get(key), before);
    }
  }

  /** The keys that differ from what was settled last, with their values now; then all of it is settled. */
  settle(): Map<string, string | undefined> {
    const before = new Map<string, string | undefined>();
    for (const change of this.undo) if (!before.has(change.key)) before.set(change.key, change.before);
    this.undo.length = 0;
    for (const [key, old] of before) {
      const now = this.entries.get(key);
      if (now === old) before.delete(key);
      else before.set(key, now);
    }
    return before;
  }

  private put(key: string, before: string | undefined, value: string | undefined): void {
    if (value === undefined) this.entries.delete(key);
    else this.entries.set(key, value);
    this.bytes += costOf(key, value) - costOf(key, before);
    if (!this.ordered || (before === undefined) === (value === undefined)) return;
    if (value === undefined) this.ordered.remove(key);
    else this.ordered.add(key);
  }
}

function costOf(key: string, value: string | undefined): number {
  return value === undefined ? 0 : key.length + value.length + ENTRY_BYTES;
}
