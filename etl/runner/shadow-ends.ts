import { readOrigins } from '../../core/engine/lineage.ts';
import { type LogRecord, readRecords } from '../../core/engine/records.ts';
import type { TaskResult } from '../sandbox/sandbox.ts';

/** What became of one source record, in order; none: it was dropped. */
export type Ends = (Emitted | { failed: string })[];

interface Emitted {
  output: string;
  timestamp: number;
  key: string | null;
  value: string | null;
  headers: [string, string | null][];
}

/** Of outputs whose source record is not known: they share this place. */
export const UNKNOWN_OFFSET = -1;

/** By the source record's offset; records that were dropped are not in it. Bytes that are no UTF-8 stay apart: as base64. */
export function endsByOffset({ outputs, dead }: TaskResult, names: readonly string[]): Map<number, Ends> {
  const ends = new Map<number, Ends>();
  const at = (offset: number): Ends => {
    let found = ends.get(offset);
    if (!found) ends.set(offset, (found = []));
    return found;
  };
  for (const { route, batch, origins } of outputs) {
    const records = readRecords(batch);
    const offsets = origins && readOrigins(origins, records.length);
    for (const [i, record] of records.entries()) {
      at(offsets?.[i] ?? UNKNOWN_OFFSET).push(emitted(names[route] ?? '', record));
    }
  }
  for (const { offset, code } of dead?.letters ?? []) at(offset).push({ failed: code });
  return ends;
}

function emitted(output: string, { timestamp, key, value, headers }: LogRecord): Emitted {
  const all = headers.map(([name, content]): [string, string | null] => [name, textOf(content)]);
  return { output, timestamp, key: textOf(key), value: textOf(value), headers: all };
}

function textOf(bytes: Uint8Array | null): string | null {
  if (bytes === null) return null;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const text = buffer.toString();
  return Buffer.from(text).equals(buffer) ? text : `base64:${buffer.toString('base64')}`;
}
