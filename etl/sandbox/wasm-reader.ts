/** What makes a module unreadable: it ends early, a number is too long, a length runs past the end. */
export class WasmDamage extends Error {}

/** Reads a wasm binary within fixed bounds (WebAssembly core specification, 5 "Binary Format"). */
export class WasmReader {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, from = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = from;
    this.end = end;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  byte(): number {
    if (this.at >= this.end) throw new WasmDamage(`it ends in the middle, at byte ${this.end}`);
    return this.bytes[this.at++] as number;
  }

  /** LEB128, unsigned, 32 bits. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      if (shift === 28 && byte > 0x0f) break;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new WasmDamage(`a number at byte ${this.at} is longer than 32 bits`);
  }

  /** LEB128 of any kind, up to ten bytes. */
  skipNumber(): void {
    for (let i = 0; i < 10; i++) if (this.byte() < 0x80) return;
    throw new WasmDamage(`a number at byte ${this.at} is too long`);
  }

  skip(length: number): void {
    if (length > this.end - this.at) throw new WasmDamage(`a length at byte ${this.at} runs past the end`);
    this.at += length;
  }

  name(): string {
    const length = this.u32();
    const from = this.at;
    this.skip(length);
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + from, length).toString();
  }

  /** The next `length` bytes as a reader of their own. */
  part(length: number): WasmReader {
    const from = this.at;
    this.skip(length);
    return new WasmReader(this.bytes, from, this.at);
  }
}

/** Unsigned LEB128. */
export function leb(value: number): number[] {
  const out: number[] = [];
  do {
    const low = value % 128;
    value = Math.floor(value / 128);
    out.push(value > 0 ? low | 0x80 : low);
  } while (value > 0);
  return out;
}
