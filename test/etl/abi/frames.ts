import { bodySize, type NewRecord, readBody, writeBody } from '../../../core/engine/records.ts';
import type { GuestHost, GuestSetup } from '../../../etl/abi/guest.ts';

/* Frames as DESIGN 6 tells, written and read without the host's own code, and what a guest needs around it. */

export interface FrameRecord extends Omit<NewRecord, 'timestamp'> {
  timestamp?: number;
  offset?: number;
}

export function inputFrame(records: FrameRecord[], baseOffset = 100, baseTimestamp = 1000): Uint8Array {
  const head = Buffer.alloc(28);
  head.writeUInt8(1, 0);
  head.writeUInt16LE(28, 2);
  head.writeUInt32LE(records.length, 4);
  head.writeBigInt64LE(BigInt(baseOffset), 8);
  head.writeBigInt64LE(BigInt(baseTimestamp), 16);
  const parts = records.map(({ offset, timestamp, ...record }, i) => {
    const bytes = Buffer.alloc(16 + bodySize(record));
    bytes.writeUInt32LE(bytes.length - 16, 0);
    bytes.writeUInt32LE((offset ?? baseOffset + i) - baseOffset, 4);
    bytes.writeBigInt64LE(BigInt(timestamp ?? baseTimestamp + i), 8);
    writeBody(bytes, 16, record);
    return bytes;
  });
  return Buffer.concat([head, ...parts]);
}

export const values = (...texts: string[]): FrameRecord[] =>
  texts.map(text => ({ key: null, value: Buffer.from(text) }));

/** What an output frame holds, in text; bodies in Kafka's form only. */
export function outputFrame(frame: Uint8Array | null) {
  if (!frame) return [];
  const bytes = Buffer.from(frame);
  if (bytes.readUInt32LE(0) !== 0x00080001) throw new Error('a wrong header');
  const records = [];
  let at = 8;
  for (let left = bytes.readUInt32LE(4); left > 0; left--) {
    const [index, route, flags] = [bytes.readUInt32LE(at), bytes.readUInt16LE(at + 4), bytes.readUInt16LE(at + 6)];
    at += 8;
    const timestamp = flags === 1 ? Number(bytes.readBigInt64LE(at)) : null;
    at += flags === 1 ? 8 : 0;
    const length = bytes.readUInt32LE(at);
    const { key, value, headers } = readBody(bytes, at + 4, at + 4 + length);
    at += 4 + length;
    const text = (part: Uint8Array | null) => part && Buffer.from(part).toString();
    const pairs = headers.map(([name, content]) => [name, text(content)]);
    records.push({ index, route, timestamp, key: text(key), value: text(value), headers: pairs });
  }
  if (at !== bytes.length) throw new Error('bytes behind the last record');
  return records;
}

export function guestHost(): GuestHost & { lines: [level: number, line: string][] } {
  const lines: [number, string][] = [];
  return {
    cell: new Int32Array(8),
    log: (level, line) => void lines.push([level, line()]),
    memory: { kept: new Uint8Array(0) },
    past: () => [],
    lines,
  };
}

export const SETUP: GuestSetup = {
  pipeline: 'orders',
  step: 'scrub',
  config: {},
  topic: 'orders.in',
  partition: 3,
  outputs: [
    { name: 'default', topic: 'orders.out' },
    { name: 'suspect', topic: 'orders.suspect' },
  ],
  memoryBytes: 16 * 1024 * 1024,
  lookBack: null,
  schemas: null,
};
