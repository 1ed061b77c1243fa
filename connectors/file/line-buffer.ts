const LEAST_BYTES = 4096;

/** Lines one behind the other in one growing buffer. */
export class LineBuffer {
  private buffer: Buffer;
  private length = 0;

  constructor(expectedBytes: number) {
    this.buffer = Buffer.allocUnsafe(Math.max(LEAST_BYTES, expectedBytes));
  }

  addText(text: string): this {
    // UTF-8 needs at most three bytes for what a string counts as one.
    this.room(text.length * 3);
    this.length += this.buffer.write(text, this.length);
    return this;
  }

  addBytes(bytes: Uint8Array): this {
    this.room(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  endLine(): void {
    this.room(1);
    this.buffer[this.length++] = 0x0a;
  }

  /** What was added; the buffer is not to be used again. */
  bytes(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  private room(bytes: number): void {
    if (this.length + bytes <= this.buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.length + bytes));
    this.buffer.copy(grown, 0, 0, this.length);
    this.buffer = grown;
  }
}
