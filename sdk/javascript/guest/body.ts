/*
 * A record's body as Kafka writes it, from the key on: zigzag length and bytes of key and value (-1: null), the number of
 * headers, and for each its name and value likewise.
 *
 * The engine in a component interprets: what runs for every record stands in few steps, and one cursor serves all.
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export type Bytes = Uint8Array | null;
export type Header = readonly [name: string, value: Bytes];

export const textOf = (bytes: Uint8Array): string => decoder.decode(bytes);

/** What an author gives as key or value: anything but bytes, text and null is written as JSON. */
export function partOf(part: unknown): Bytes | string {
  if (typeof part === 'string' || part === null || part instanceof Uint8Array) return part;
  return JSON.stringify(part);
}

/** Where the last read ended. */
let cursor = 0;

export const readFrom = (at: number): void => {
  cursor = at;
};

/** A length-prefixed part, as a view into the frame. */
export function readPart(bytes: Uint8Array): Bytes {
  const length = readNumber(bytes);
  if (length < 0) return null;
  cursor += length;
  return bytes.subarray(cursor - length, cursor);
}

/** The same without a look at it. */
export function skipPart(bytes: Uint8Array): void {
  const length = readNumber(bytes);
  if (length > 0) cursor += length;
}

export function readHeaders(bytes: Uint8Array): Header[] {
  const headers: Header[] = [];
  for (let n = readNumber(bytes); n > 0; n--) headers.push([textOf(readPart(bytes) as Uint8Array), readPart(bytes)]);
  return headers;
}

function readNumber(bytes: Uint8Array): number {
  let value = bytes[cursor++] as number;
  if (value < 0x80) return (value >>> 1) ^ -(value & 1);
  value &= 0x7f;
  for (let shift = 7; ; shift += 7) {
    const byte = bytes[cursor++] as number;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
  }
}

/**
 * Bytes that grow: an input frame, and behind it the output frame that is written. In one buffer, what stays as it came is
 * copied without a view of it, and making a view costs more than the copy.
 */
export class Writer {
  bytes = new Uint8Array(64 * 1024);
  view = new DataView(this.bytes.buffer);
  at = 0;
  /** Where the output frame begins. */
  start = 0;

  /** Takes the input frame; the output frame begins with room for its header of 8 bytes. */
  open(frame: Uint8Array): void {
    this.at = 0;
    this.reserve(2 * frame.length + 1024);
    this.bytes.set(frame);
    this.start = frame.length;
    this.at = this.start + 8;
  }

  /** Room for so many more. */
  reserve(more: number): void {
    if (this.at + more <= this.bytes.length) return;
    const bigger = new Uint8Array(Math.max(this.bytes.length * 2, this.at + more));
    bigger.set(this.bytes.subarray(0, this.at));
    this.bytes = bigger;
    this.view = new DataView(bigger.buffer);
  }

  /** With room for `more` bytes behind it. */
  part(part: Uint8Array | string | null, more: number): void {
    if (part === null) {
      this.reserve(1 + more);
      this.bytes[this.at++] = 1;
    } else if (typeof part === 'string') this.text(part, more);
    else {
      this.reserve(5 + part.length + more);
      this.number(part.length);
      this.bytes.set(part, this.at);
      this.at += part.length;
    }
  }

  headers(headers: readonly Header[]): void {
    this.reserve(5);
    this.number(headers.length);
    // By index: iterators and destructuring cost the interpreter microseconds.
    for (let i = 0; i < headers.length; i++) {
      const header = headers[i] as Header;
      this.part(header[0], 0);
      this.part(header[1], 0);
    }
  }

  /** The length comes first and is known last: the text is written where it lies if its length takes no more room. */
  text(text: string, more: number): void {
    const { length } = text;
    this.reserve(10 + 3 * length + more);
    const from = this.at;
    this.number(length);
    const guessed = this.at;
    const { written } = encoder.encodeInto(text, this.bytes.subarray(guessed));
    if (written !== length) {
      this.at = from;
      this.number(written);
      if (this.at !== guessed) this.bytes.copyWithin(this.at, guessed, guessed + written);
    }
    this.at += written;
  }

  private number(value: number): void {
    let rest = value << 1;
    while (rest > 0x7f) {
      this.bytes[this.at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[this.at++] = rest;
  }
}
