import { createHash } from 'node:crypto';
import type { DiskFile } from '../../core/base/disk.ts';

/*
 * Where a file source is, as text: offset,line,fingerprint bytes,fingerprint. The fingerprint is over the first bytes
 * of the file (1 KiB, or fewer when fewer were read): another file under the same name, or one that was cut, is read
 * from its beginning.
 */
export interface SourceState {
  /** Byte where the next row begins. */
  offset: number;
  /** Lines before it. */
  line: number;
  fingerprintBytes: number;
  fingerprint: string;
}

export function writeState({ offset, line, fingerprintBytes, fingerprint }: SourceState): string {
  return `${offset},${line},${fingerprintBytes},${fingerprint}`;
}

/** null when there is none, or none that this version understands. */
export function readState(text: string | null): SourceState | null {
  const match = /^(\d+),(\d+),(\d+),([0-9a-f]+)$/.exec(text ?? '');
  if (!match) return null;
  return {
    offset: Number(match[1]),
    line: Number(match[2]),
    fingerprintBytes: Number(match[3]),
    fingerprint: match[4] as string,
  };
}

export async function fingerprintOf(file: DiskFile | null, length: number): Promise<string> {
  const bytes = new Uint8Array(length);
  const read = (await file?.read(bytes, 0)) ?? 0;
  return createHash('sha256').update(bytes.subarray(0, read)).digest('hex').slice(0, 16);
}
