import type { Clock, Timer } from '../../core/base/clock.ts';
import type { Row } from './contract.ts';
import type { Rejected } from './deliver.ts';

/** A gathered batch: the rows to write, and all that was read with them. */
export interface Gathered {
  rows: Row[];
  /** Bytes of the rows' keys and values. */
  sizeBytes: number;
  /** Memory held until this is committed, filtered rows included. */
  heldBytes: number;
  filtered: number;
  /** What could not even be read. */
  unreadable: Rejected[];
  /** Position once it is done. */
  next: bigint;
}

export interface BatchLimits {
  records: number;
  bytes: number;
  lingerMs: number;
}

/** Gathers rows up to a count, a size or an age, whichever comes first. The age counts from the first row. */
export class Batcher {
  /** The open batch has waited long enough: it goes as soon as a write may begin. */
  ripe = false;
  private readonly limits: BatchLimits;
  private readonly clock: Clock;
  private readonly sealed: (batch: Gathered) => void;
  private readonly ripened: () => void;
  private open: Gathered | null = null;
  private timer: Timer | null = null;
  private reached: bigint;

  constructor(
    start: bigint,
    limits: BatchLimits,
    clock: Clock,
    sealed: (batch: Gathered) => void,
    ripened: () => void,
  ) {
    this.reached = start;
    this.limits = limits;
    this.clock = clock;
    this.sealed = sealed;
    this.ripened = ripened;
  }

  add(row: Row, heldBytes: number): void {
    const size = sizeOf(row);
    if (this.open && this.open.rows.length > 0 && this.open.sizeBytes + size > this.limits.bytes) this.seal();
    const batch = this.opened(BigInt(row.record.offset + 1));
    batch.rows.push(row);
    batch.sizeBytes += size;
    batch.heldBytes += heldBytes;
    if (batch.rows.length >= this.limits.records || batch.sizeBytes >= this.limits.bytes) this.seal();
  }

  addFiltered(offset: number, heldBytes: number): void {
    const batch = this.opened(BigInt(offset + 1));
    batch.filtered++;
    batch.heldBytes += heldBytes;
  }

  addUnreadable(rejected: Rejected, next: bigint): void {
    this.opened(next).unreadable.push(rejected);
  }

  /** Everything below `next` has been read. Offsets may end in a gap: the position moves over it too. */
  advance(next: bigint): void {
    if (next > this.reached) this.opened(next);
  }

  seal(): void {
    this.timer?.cancel();
    this.timer = null;
    this.ripe = false;
    const batch = this.open;
    this.open = null;
    if (batch) this.sealed(batch);
  }

  /** Lets the open batch go as soon as a write may begin. */
  ripen(): void {
    if (!this.open) return;
    this.ripe = true;
    this.ripened();
  }

  /** After a jump; nothing is gathered then. */
  restartAt(next: bigint): void {
    this.reached = next;
  }

  get isEmpty(): boolean {
    return this.open === null;
  }

  /** First row of the open batch. */
  get first(): Row | undefined {
    return this.open?.rows[0];
  }

  /** Forgets what is gathered. */
  clear(): void {
    this.open = null;
    this.timer?.cancel();
  }

  private opened(next: bigint): Gathered {
    if (!this.open) {
      this.open = { rows: [], sizeBytes: 0, heldBytes: 0, filtered: 0, unreadable: [], next };
      this.timer = this.clock.setTimer(this.limits.lingerMs, () => {
        this.ripen();
      });
    }
    this.open.next = next;
    this.reached = next;
    return this.open;
  }
}

/** Makes one batch of two, the second following the first. */
export function joinGathered(first: Gathered, second: Gathered): Gathered {
  return {
    rows: [...first.rows, ...second.rows],
    sizeBytes: first.sizeBytes + second.sizeBytes,
    heldBytes: first.heldBytes + second.heldBytes,
    filtered: first.filtered + second.filtered,
    unreadable: [...first.unreadable, ...second.unreadable],
    next: second.next,
  };
}

/** Makes two batches of one whose rows left are `rows`; `rejected`: rows that were refused meanwhile. */
export function splitGathered(
  { heldBytes, filtered, unreadable, next }: Gathered,
  rows: readonly Row[],
  rejected: readonly Rejected[],
): [Gathered, Gathered] {
  const middle = rows.length >> 1;
  const border = (rows[middle] as Row).record.offset;
  const dead = [...unreadable, ...rejected];
  const part = (own: Row[], lost: Rejected[], rest: Pick<Gathered, 'heldBytes' | 'filtered' | 'next'>): Gathered => ({
    rows: own,
    sizeBytes: own.reduce((sum, row) => sum + sizeOf(row), 0),
    unreadable: lost,
    ...rest,
  });
  return [
    part(
      rows.slice(0, middle),
      dead.filter(({ record }) => record.offset < border),
      { heldBytes: 0, filtered: 0, next: BigInt(border) },
    ),
    part(
      rows.slice(middle),
      dead.filter(({ record }) => record.offset >= border),
      { heldBytes, filtered, next },
    ),
  ];
}

const sizeOf = ({ record }: Row): number => (record.key?.length ?? 0) + (record.value?.length ?? 0);
