import { GuestFault } from './guest.ts';

/** A guest's memory, which moves when it grows, behind checks of every pointer that the guest hands over. */
export class GuestMemory {
  private memory: WebAssembly.Memory | null = null;
  private bytesNow = new Uint8Array(0);
  private viewNow = new DataView(new ArrayBuffer(0));

  /** The instance is made: here it keeps its memory. */
  attach(memory: WebAssembly.Memory): void {
    this.memory = memory;
  }

  get size(): number {
    return this.memory?.buffer.byteLength ?? 0;
  }

  /** All of it; a new view whenever it has grown. */
  get bytes(): Uint8Array<ArrayBuffer> {
    if (this.bytesNow.length === 0) this.bytesNow = new Uint8Array(this.buffer());
    return this.bytesNow;
  }

  get view(): DataView {
    if (this.viewNow.buffer !== this.bytes.buffer) this.viewNow = new DataView(this.bytes.buffer);
    return this.viewNow;
  }

  /** Where these bytes lie. GuestFault BAD_POINTER when they do not lie in the memory. */
  check(pointer: number, length: number): number {
    const from = pointer >>> 0;
    // A guest's own number is an i32; a product of one may be more.
    const size = length < 0 ? length >>> 0 : length;
    if (from + size > this.bytes.length) {
      throw new GuestFault('BAD_POINTER', `the module handed over ${size} bytes at ${from}, outside of its memory`);
    }
    return from;
  }

  /** A view, gone as soon as the guest runs again. */
  at(pointer: number, length: number): Uint8Array<ArrayBuffer> {
    const from = this.check(pointer, length);
    return this.bytes.subarray(from, from + (length >>> 0));
  }

  text(pointer: number, length: number): string {
    const from = this.check(pointer, length);
    return Buffer.from(this.bytes.buffer, from, length >>> 0).toString();
  }

  setU32(pointer: number, value: number): void {
    this.view.setUint32(this.check(pointer, 4), value, true);
  }

  /** A whole number below 2^53 in both directions, as an int64. */
  setI64(pointer: number, value: number): void {
    const at = this.check(pointer, 8);
    this.view.setUint32(at, value >>> 0, true);
    this.view.setInt32(at + 4, Math.floor(value / 2 ** 32), true);
  }

  private buffer(): ArrayBuffer {
    if (!this.memory) throw new GuestFault('BAD_POINTER', 'the module calls the host before its memory is there');
    return this.memory.buffer;
  }
}
