import type { Disk, DiskFile } from '../base/disk.ts';
import { readFile } from '../base/read-file.ts';

/*
 * Kafka's names: <topic>-<partition>/<base offset, 20 digits>{.log, .index, .timeindex, .txnindex, .snapshot}, and beside them
 * partition.metadata and leader-epoch-checkpoint.
 */
export const SUFFIX = {
  log: '.log',
  index: '.index',
  timeIndex: '.timeindex',
  transactions: '.txnindex',
  snapshot: '.snapshot',
} as const;
export const METADATA_FILE = 'partition.metadata';
export const EPOCHS_FILE = 'leader-epoch-checkpoint';
/** A log's folder is renamed to end so before its files go: a crash in between leaves nothing half removed. */
export const DELETED_SUFFIX = '-delete';

export function offsetName(offset: number, suffix: string): string {
  return String(offset).padStart(20, '0') + suffix;
}

/** The offset in a file's name, null for other files. */
export function offsetInName(name: string, suffix: string): number | null {
  if (name.length !== 20 + suffix.length || !name.endsWith(suffix)) return null;
  const digits = name.slice(0, 20);
  return /^\d{20}$/.test(digits) && Number.isSafeInteger(Number(digits)) ? Number(digits) : null;
}

export function logDirectoryName(id: { topic: string; partition: number }): string {
  return `${id.topic}-${id.partition}`;
}

/** Topic names may hold dashes: the last one counts. */
export function parseLogDirectoryName(name: string): { topic: string; partition: number } | null {
  const match = /^(.+)-(\d{1,9})$/.exec(name);
  return match ? { topic: match[1] as string, partition: Number(match[2]) } : null;
}

/* partition.metadata: two lines, "version: 0" and "topic_id: <the UUID's 16 bytes in base64url>". */
export function writeMetadata(topicId: string): string {
  return `version: 0\ntopic_id: ${Buffer.from(topicId, 'hex').toString('base64url')}\n`;
}

export function parseMetadata(text: string): string | null {
  const match = /^version: 0\ntopic_id: ([A-Za-z0-9_-]{22})\n?$/.exec(text);
  return match ? Buffer.from(match[1] as string, 'base64url').toString('hex') : null;
}

/** The whole file; null when there is none. */
export async function readWhole(disk: Disk, path: string): Promise<Buffer | null> {
  try {
    return await readFile(disk, path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Writes all of `bytes` at `position`; a short write is carried on with. */
export async function writeAll(file: DiskFile, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const written = await file.write([bytes.subarray(done)], position + done);
    if (written === 0) throw Object.assign(new Error(`nothing could be written to ${file.path}`), { code: 'ENOSPC' });
    done += written;
  }
}

/** Node's error code (ENOSPC, ENOENT, ...), '' when it has none. */
export function errorCode(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : '';
}
