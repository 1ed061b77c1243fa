import type { FrameHelper, Table } from './frame-helper/frame-helper.ts';

/** Entries `from` to `to` of a step's input. */
export interface Span {
  from: number;
  to: number;
  /** How many records the step was given before these. */
  first: number;
  /** One record a call. */
  single: boolean;
  /** The one record of this span is run in a fresh instance; if it fails, it is at fault. */
  alone: Trial;
}

/** `warm`: the instance has had this very record once before, which counted for nothing. */
export type Trial = false | 'fresh' | 'warm';

/** A step's input as its module sees it: with `skip`, tombstones are not counted, they go around the module. */
export class StepInput {
  readonly table: Table;
  readonly skip: boolean;
  private readonly helper: FrameHelper;

  constructor(helper: FrameHelper, table: Table, skip: boolean) {
    this.helper = helper;
    this.table = table;
    this.skip = skip;
  }

  get whole(): Span {
    return { from: 0, to: this.table.count, first: 0, single: false, alone: false };
  }

  /** Index of the n-th record at or behind `from`. */
  nth(from: number, n: number): number {
    if (!this.skip) return from + n;
    for (let i = from; ; i++) {
      if (!this.helper.isTombstone(this.table, i) && n-- === 0) return i;
    }
  }

  /** How many records the module is given before the one at `index`. */
  before(index: number): number {
    if (!this.skip) return index;
    let count = 0;
    for (let i = 0; i < index; i++) if (!this.helper.isTombstone(this.table, i)) count++;
    return count;
  }

  hasRecords(from: number, to: number): boolean {
    for (let i = from; i < to; i++) if (!this.skip || !this.helper.isTombstone(this.table, i)) return true;
    return false;
  }

  originOf(span: Span): number {
    return this.helper.originOf(this.table, this.nth(span.from, 0));
  }

  /** A span in two, the last one first: from its n-th record on, and what is before it. */
  split(span: Span, n: number): Span[] {
    const at = this.nth(span.from, n);
    return [
      { ...span, from: at, first: span.first + n, alone: false },
      { ...span, to: at, alone: false },
    ];
  }

  /** A span in three, the last one first: what is behind its n-th record, that record, and what is before it. */
  around(span: Span, n: number, alone: Trial): Span[] {
    const at = this.nth(span.from, n);
    const parts: Span[] = [
      { ...span, from: at + 1, first: span.first + n + 1, alone: false },
      { ...span, from: at, to: at + 1, first: span.first + n, alone },
      { ...span, to: at, alone: false },
    ];
    return parts.filter(part => part.from < part.to);
  }
}
