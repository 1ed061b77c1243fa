/** Write streams that a client made: what is in them, up to where it is visible, and whether they are closed. */
import type { Chunk } from './rows.ts';
import type { Table } from './table.ts';

export type StreamType = 'COMMITTED' | 'BUFFERED' | 'PENDING';

export class Stream {
  readonly name: string;
  readonly type: StreamType;
  readonly table: Table;
  readonly createdAt: number;
  /** Rows appended: the next offset. */
  end = 0;
  /** BUFFERED: rows that a flush has made visible. */
  flushed = 0;
  finalized = false;
  committedAt: number | null = null;
  /** The connection that appends; a newer one takes its place. */
  owner: object | null = null;
  private waiting: { from: number; chunk: Chunk }[] = [];

  constructor(name: string, type: StreamType, table: Table, now: number) {
    this.name = name;
    this.type = type;
    this.table = table;
    this.createdAt = now;
  }

  append(chunk: Chunk): void {
    if (this.type === 'COMMITTED') this.table.add(chunk);
    else this.waiting.push({ from: this.end, chunk });
    this.end += chunk.count;
  }

  /** Makes the rows before `end` visible; rows that are already stay as they are. */
  flush(end: number): void {
    while (this.flushed < end) {
      const first = this.waiting[0];
      if (!first) throw new Error('flush beyond the end');
      const { from, chunk } = first;
      const until = Math.min(end, from + chunk.count);
      this.table.add(chunk.slice(this.flushed - from, until - from));
      this.flushed = until;
      if (until === from + chunk.count) this.waiting.shift();
    }
  }

  commit(now: number): void {
    for (const { chunk } of this.waiting) this.table.add(chunk);
    this.waiting = [];
    this.committedAt = now;
  }
}
