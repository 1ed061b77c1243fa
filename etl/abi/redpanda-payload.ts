import { type Cursor, readVarint, varintSize, writeVarint } from '../../core/base/varint.ts';

/*
 * What a Redpanda transform hands over. A payload is a Kafka record's body (core/log/record.ts) with looser rules: any
 * negative length is a null, a header's name may be null, numbers may be written longer than need be. The log keeps
 * to Kafka's rules, so what differs is written anew.
 *
 * Write options: byte 1 and the topic's name behind its length, or nothing at all.
 */

const TOPIC_OPTION = 1;
/** Kafka's lengths have at most five bytes. */
const VARINT_BYTES = 5;

/** Is this a body as Kafka writes it, every length the shortest and -1 the only negative one? */
export function isPlainBody(bytes: Uint8Array, from: number, to: number): boolean {
  let at = from;
  // Two lengths, a count, then two lengths for each header.
  let fields = 2;
  let isName = false;
  for (let counted = false; ; ) {
    let value = 0;
    let shift = 0;
    let byte: number;
    do {
      if (at >= to || shift >= 7 * VARINT_BYTES) return false;
      byte = bytes[at++] as number;
      value += (byte & 0x7f) * 2 ** shift;
      shift += 7;
    } while (byte >= 0x80);
    if ((byte === 0 && shift > 7) || value > 0xffffffff) return false;
    if (fields === 0) {
      if (counted || value % 2 === 1 || value / 2 > to - at) return false;
      counted = true;
      fields = value;
      isName = true;
    } else {
      if (value % 2 === 1) {
        if (value !== 1 || (counted && isName)) return false;
      } else at += value / 2;
      if (at > to) return false;
      if (counted) isName = !isName;
      fields--;
    }
    if (counted && fields === 0) return at === to;
  }
}

/** The body as Kafka writes it, of one that was written otherwise; null when it is none at all. */
export function plainBody(payload: Uint8Array): Uint8Array | null {
  const at: Cursor = { offset: 0 };
  const parts: (Uint8Array | null)[] = [];
  try {
    parts.push(sized(payload, at), sized(payload, at));
    const count = Math.max(readVarint(payload, at), 0);
    if (count > payload.length) return null;
    for (let i = 0; i < count; i++) parts.push(sized(payload, at) ?? new Uint8Array(0), sized(payload, at));
    if (at.offset !== payload.length) return null;
    const headers = (parts.length - 2) / 2;
    const size = parts.reduce((sum, part) => sum + varintSize(part?.length ?? -1) + (part?.length ?? 0), 0);
    const body = new Uint8Array(size + varintSize(headers));
    let end = 0;
    parts.forEach((part, i) => {
      if (i === 2) end = writeVarint(body, end, headers);
      end = writeVarint(body, end, part?.length ?? -1);
      if (part) body.set(part, end);
      end += part?.length ?? 0;
    });
    if (headers === 0) writeVarint(body, end, 0);
    return body;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** Bytes behind their length; null for any negative one. RangeError when they run past the end. */
export function sized(bytes: Uint8Array, at: Cursor): Uint8Array | null {
  const length = readVarint(bytes, at);
  if (length < 0) return null;
  if (length > bytes.length - at.offset) throw new RangeError('a length runs past the end');
  at.offset += length;
  return bytes.subarray(at.offset - length, at.offset);
}

/** The topic that the options name, "" for none; null when they are no options. */
export function topicOf(options: Uint8Array): string | null {
  if (options.length === 0) return '';
  if (options[0] !== TOPIC_OPTION) return null;
  const at: Cursor = { offset: 1 };
  try {
    const name = sized(options, at);
    return at.offset === options.length ? Buffer.from(name ?? []).toString() : null;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}
