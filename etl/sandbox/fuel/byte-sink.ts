/** Bytes that are put together one behind the other, without knowing how many there will be. */
export class ByteSink {
  private bytes: Uint8Array;
  private end = 0;

  constructor(capacity = 1024) {
    this.bytes = new Uint8Array(capacity);
  }

  /** A view, gone with the next `clear`. */
  get written(): Uint8Array {
    return this.bytes.subarray(0, this.end);
  }

  clear(): void {
    this.end = 0;
  }

  add(bytes: ArrayLike<number>): void {
    const from = this.end;
    this.end += bytes.length;
    if (this.end > this.bytes.length) {
      const grown = new Uint8Array(Math.max(this.end, 2 * this.bytes.length));
      grown.set(this.bytes.subarray(0, from));
      this.bytes = grown;
    }
    this.bytes.set(bytes, from);
  }
}
