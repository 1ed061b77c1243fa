import { batchesOf, type Read } from './batches.ts';
import type { SentRecord } from './expectations.ts';
import { type Answer, visible } from './history.ts';

/*
 * A compacted topic, as a reader of committed records may find it: of every key the newest record, and of older ones
 * some. Offsets never change, what was missing once never comes back, and when a record is missing a newer one of its key
 * was there, or it says itself that the key is gone. What it holds comes from its name, which each record carries
 * as a header: one number in seven has a key of its own, the others share five; two kinds are tombstones.
 */
export function keyOf(name: string): string {
  const number = Number(name.slice(name.indexOf('.') + 1));
  return number % 7 === 0 ? `own ${name}` : `k${number % 5}`;
}

export const isTombstone = (name: string): boolean => name.startsWith('D') || name.startsWith('R');

const nameOf = (record: Read): string => record.headers.get('name') ?? '';

/** One partition. */
export class Table {
  private readonly partition: number;
  /** Every record that was ever delivered, by its offset. */
  private readonly known = new Map<number, Read>();
  private readonly gone = new Set<number>();
  /** Delivered in this pass. */
  private found = new Map<number, Read>();
  /** Where the last stable offset was at its end. */
  private stable = 0;

  constructor(partition: number) {
    this.partition = partition;
  }

  /** Records that are no longer there. */
  get goneCount(): number {
    return this.gone.size;
  }

  /** Takes in an answer to a Fetch from `asked` on; null at the end, otherwise from where to go on. */
  take(asked: number, answer: Answer): number | null {
    const batches = batchesOf(answer.records ?? new Uint8Array());
    const last = batches.at(-1)?.last;
    const next = last === undefined ? answer.lastStableOffset : last + 1;
    if (next > answer.lastStableOffset || next > answer.highWatermark) throw this.wrong(`serves ${next - 1}`);
    for (const record of visible(batches, answer.abortedTransactions ?? [])) {
      if (record.offset >= asked) this.takeOne(record);
    }
    for (const offset of this.known.keys()) {
      if (offset >= asked && offset < next && !this.found.has(offset)) this.gone.add(offset);
    }
    this.stable = next;
    return last === undefined ? null : next;
  }

  /** A pass from the log's start to its end is over. */
  endPass(): void {
    const newest = new Map<string, Read>();
    for (const record of this.known.values()) {
      const before = newest.get(record.key ?? '');
      if (!before || before.offset < record.offset) newest.set(record.key ?? '', record);
    }
    for (const record of newest.values()) {
      if (this.found.has(record.offset)) continue;
      if (record.value !== null) throw this.wrong(`lacks ${nameOf(record)}, the newest of ${record.key}`);
      const older = [...this.found.values()].find(({ key }) => key === record.key);
      if (older) throw this.wrong(`has ${nameOf(older)} and not ${nameOf(record)}, which came after it`);
    }
    this.found = new Map();
  }

  /** What producers were told holds. After a pass. */
  check(sent: readonly SentRecord[]): void {
    const own = new Map(sent.filter(({ partition }) => partition === this.partition).map(each => [each.value, each]));
    for (const [offset, record] of this.known) {
      const each = own.get(nameOf(record));
      if (!each) throw this.wrong(`has ${nameOf(record)}, which nobody sent there`);
      if (each.offset !== null && each.offset !== offset) throw this.wrong(`has ${each.value} at ${offset}`);
      if (each.transaction?.outcome === 'aborted') throw this.wrong(`has ${each.value}, which was aborted`);
    }
    const ends = new Map<string, number>();
    for (const { key, offset } of this.known.values()) {
      ends.set(key ?? '', Math.max(offset, ends.get(key ?? '') ?? -1));
    }
    const seen = new Set([...this.known.values()].map(nameOf));
    for (const { value, offset, transaction } of own.values()) {
      const isThere = transaction ? transaction.outcome === 'committed' : offset !== null;
      if (!isThere || seen.has(value) || (offset ?? -1) >= this.stable) continue;
      // Compaction may have been faster than any reader.
      if ((ends.get(keyOf(value)) ?? -1) <= (offset ?? -1)) throw this.wrong(`has never shown ${value}`);
    }
  }

  private takeOne(record: Read): void {
    const { offset, key, value } = record;
    const name = nameOf(record);
    if (key !== keyOf(name) || value !== (isTombstone(name) ? null : name)) throw this.wrong(`changed ${name}`);
    const before = this.known.get(offset);
    if (before && nameOf(before) !== name) throw this.wrong(`has ${name} at ${offset}, where ${nameOf(before)} was`);
    if (this.gone.has(offset)) throw this.wrong(`has ${name} at ${offset} again`);
    this.known.set(offset, record);
    this.found.set(offset, record);
  }

  private wrong(what: string): Error {
    return new Error(`table-${this.partition} ${what}`);
  }
}
