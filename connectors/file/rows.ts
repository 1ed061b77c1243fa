import type { DiskFile } from '../../core/base/disk.ts';

/** Cuts a growing file into rows; positions are always between two rows, so that reading can go on there. */

export interface RowEnd {
  /** End of the row's content, without its newline. */
  end: number;
  /** Where the next row begins. */
  next: number;
}

/** Finds where the row that begins at `from` ends; null when more bytes are needed. */
export type RowEnder = (bytes: Buffer, from: number) => RowEnd | null;

export type ReadRow =
  | { kind: 'row'; bytes: Buffer; line: number }
  /** Longer than allowed; `bytes` is its beginning. */
  | { kind: 'too-long'; bytes: Buffer; line: number; sizeBytes: number };

const STEP_BYTES = 256 * 1024;
/** What is kept of a row that is too long. */
const KEPT_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/** A row is a line. */
export const lineEnd: RowEnder = (bytes, from) => {
  const newline = bytes.indexOf(NEWLINE, from);
  if (newline === -1) return null;
  return { end: newline > from && bytes[newline - 1] === 0x0d ? newline - 1 : newline, next: newline + 1 };
};

export class Rows {
  /** Byte in the file where the next row begins. */
  offset: number;
  /** Lines before it. */
  line: number;
  private readonly file: DiskFile;
  private readonly maxRowBytes: number;
  private readonly ender: RowEnder;
  private buffer: Buffer = Buffer.alloc(0);
  private at = 0;

  constructor(file: DiskFile, offset: number, line: number, maxRowBytes: number, ender: RowEnder) {
    this.file = file;
    this.offset = offset;
    this.line = line;
    this.maxRowBytes = maxRowBytes;
    this.ender = ender;
  }

  /** The next row when it has been read already, which nearly all have; null: ask `next`. */
  atHand(): ReadRow | null {
    const found = this.at < this.buffer.length ? this.ender(this.buffer, this.at) : null;
    return found && found.end - this.at <= this.maxRowBytes ? this.take(found.end, found.next) : null;
  }

  /** The next row; null at the end of the file. A last row without a newline counts when `lastIsWhole`. */
  async next(lastIsWhole: boolean): Promise<ReadRow | null> {
    for (;;) {
      const row = this.atHand();
      if (row) return row;
      if (this.at < this.buffer.length && this.ender(this.buffer, this.at)) return this.tooLong();
      if (this.buffer.length - this.at > this.maxRowBytes) return this.tooLong();
      if (await this.fill()) continue;
      if (!lastIsWhole || this.at === this.buffer.length) return null;
      return this.take(this.buffer.length, this.buffer.length);
    }
  }

  /** Goes back to behind the first line of a row that was just taken. */
  rewind(offset: number, line: number): void {
    this.offset = offset;
    this.line = line;
    this.buffer = Buffer.alloc(0);
    this.at = 0;
  }

  private take(end: number, next: number): ReadRow {
    const bytes = this.buffer.subarray(this.at, end);
    const line = this.line + 1;
    this.line += this.ender === lineEnd ? 1 : newlinesIn(this.buffer, this.at, next) || 1;
    this.offset += next - this.at;
    this.at = next;
    return { kind: 'row', bytes, line };
  }

  /** Passes over the line without keeping more than its beginning. */
  private async tooLong(): Promise<ReadRow> {
    const kept = Buffer.from(this.buffer.subarray(this.at, this.at + KEPT_BYTES));
    const line = this.line + 1;
    let sizeBytes = 0;
    for (;;) {
      const newline = this.buffer.indexOf(NEWLINE, this.at);
      const end = newline === -1 ? this.buffer.length : newline;
      sizeBytes += end - this.at;
      const next = newline === -1 ? end : end + 1;
      this.offset += next - this.at;
      this.at = next;
      if (newline !== -1 || !(await this.fill())) break;
    }
    this.line++;
    return { kind: 'too-long', bytes: kept, line, sizeBytes };
  }

  private async fill(): Promise<boolean> {
    const rest = this.buffer.subarray(this.at);
    const grown = Buffer.allocUnsafe(rest.length + STEP_BYTES);
    rest.copy(grown);
    const read = await this.file.read(grown.subarray(rest.length), this.offset + rest.length);
    if (read === 0) return false;
    this.buffer = grown.subarray(0, rest.length + read);
    this.at = 0;
    return true;
  }
}

function newlinesIn(bytes: Buffer, from: number, to: number): number {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE, from); at !== -1 && at < to; at = bytes.indexOf(NEWLINE, at + 1)) count++;
  return count;
}
