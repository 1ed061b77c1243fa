const MOST_KEPT = 8;
const MOST_BYTES = 4 * 1024 * 1024;
const LEAST_BYTES = 16 * 1024;

/** Buffers that hold copies of what is under way, used again and again: a fresh one costs more than the copy. */
export class BufferPool {
  private readonly free: ArrayBuffer[] = [];

  /** A copy of `bytes` at the start of a buffer that may be longer. */
  keep(bytes: Uint8Array): ArrayBuffer {
    const at = this.free.findIndex(buffer => buffer.byteLength >= bytes.length);
    const buffer = at >= 0 ? (this.free.splice(at, 1)[0] as ArrayBuffer) : new ArrayBuffer(sizeFor(bytes.length));
    new Uint8Array(buffer).set(bytes);
    return buffer;
  }

  giveBack(buffer: ArrayBuffer): void {
    if (buffer.byteLength > MOST_BYTES) return;
    if (this.free.length >= MOST_KEPT) this.free.shift();
    this.free.push(buffer);
  }
}

function sizeFor(bytes: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(bytes, LEAST_BYTES)));
}
