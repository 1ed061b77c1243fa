import { GuestFault } from '../../abi/guest.ts';
import { OrderedKeys } from './ordered-keys.ts';

/** What an entry costs beside its bytes, as limits count it. */
const ENTRY_BYTES = 32;

/** A task may make so many changes, and two more for each entry that there was: what can be taken back takes room. */
const MOST_CHANGES = 500_000;

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
  private mostChanges = MOST_CHANGES;
  private lastMark: Mark = 0;

  get size(): number {
    return this.entries.size;
  }

  get(key: string): string | undefined {
    return this.entries.get(key);
  }

  /** undefined removes it. Throws GuestFault when the task has made too many changes. */
  set(key: string, value: string | undefined): void {
    const before = this.entries.get(key);
    if (before === value) return;
    const { undo } = this;
    // A key that is changed again and again goes back to the same.
    if (undo.length <= this.lastMark || undo[undo.length - 1]?.key !== key) {
      if (undo.length >= this.mostChanges) {
        const reason = `the module changed its state more than ${this.mostChanges} times in one task`;
        throw new GuestFault('STATE_TOO_MANY_CHANGES', reason);
      }
      undo.push({ key, before });
    }
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
    this.lastMark = this.undo.length;
    return this.lastMark;
  }

  /** Everything since then has never been. */
  rollBack(to: Mark): void {
    while (this.undo.length > to) {
      const { key, before } = this.undo.pop() as { key: string; before: string | undefined };
      this.put(key, this.entries.get(key), before);
    }
    this.lastMark = to;
  }

  /** The keys that differ from what was settled last, with their values now; then all of it is settled. */
  settle(): Map<string, string | undefined> {
    const before = new Map<string, string | undefined>();
    for (const change of this.undo) if (!before.has(change.key)) before.set(change.key, change.before);
    this.undo.length = 0;
    this.lastMark = 0;
    this.mostChanges = MOST_CHANGES + 2 * this.entries.size;
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
