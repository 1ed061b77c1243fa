import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../core/base/clock.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { nodeDisk } from '../../../core/base/node-disk.ts';
import { readBatchHeader, type BatchHeader } from '../../../core/log/batch.ts';
import { type LocalLogStoreOptions, openLocalLogStore } from '../../../core/log/local-log-store.ts';
import type { Appended, LogConfig, LogId, LogStore, PartitionLog } from '../../../core/log/log.ts';
import { type BatchOptions, encodeBatch, readRecords } from '../../../core/log/record.ts';

export const ID: LogId = { topic: 'orders', topicId: '00112233445566778899aabbccddeeff', partition: 0 };

export const CONFIG: LogConfig = {
  segmentBytes: 1024 * 1024,
  segmentAgeMs: 7 * 24 * 3600 * 1000,
  retentionMs: -1,
  retentionBytes: -1,
};

/** A fresh directory, removed by `cleanUp`. */
export async function temporaryDirectory(): Promise<{ path: string; cleanUp(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'millstream-log-'));
  return { path, cleanUp: () => rm(path, { recursive: true, force: true }) };
}

export function openStore(directory: string, options: Partial<LocalLogStoreOptions> = {}): Promise<LogStore> {
  return openLocalLogStore({
    directory,
    disk: nodeDisk,
    clock: systemClock,
    logger: silentLogger,
    fsync: true,
    flushIntervalMs: 1000,
    cacheBytes: 1024 * 1024,
    ...options,
  });
}

/** One batch with these values. */
export function batchOf(values: readonly string[], options: BatchOptions & { timestamp?: number } = {}): Uint8Array {
  const timestamp = options.timestamp ?? 1_700_000_000_000;
  return encodeBatch(
    values.map(value => ({ timestamp, key: null, value: Buffer.from(value) })),
    options,
  );
}

export function headersOf(bytes: Uint8Array): BatchHeader[] {
  const headers: BatchHeader[] = [];
  for (let at = 0; at < bytes.length; ) {
    const header = readBatchHeader(bytes, at);
    headers.push(header);
    at += header.sizeBytes;
  }
  return headers;
}

export function appendValues(
  log: PartitionLog,
  values: readonly string[],
  options: BatchOptions & { timestamp?: number } = {},
): Appended {
  const bytes = batchOf(values, options);
  return log.append(bytes, headersOf(bytes));
}

/** Every value from `offset` to the high watermark; fails when an offset is missing or comes twice. */
export async function readValues(log: PartitionLog, offset = log.startOffset, maxBytes = 64 * 1024): Promise<string[]> {
  const values: string[] = [];
  let next = offset;
  for (;;) {
    const result = await log.read(next, maxBytes);
    if (result.batches.length === 0) return values;
    for (const batch of result.batches) {
      for (const record of readRecords(batch)) {
        if (record.offset < next) continue;
        if (record.offset !== next) throw new Error(`offset ${record.offset} instead of ${next}`);
        values.push(Buffer.from(record.value ?? []).toString());
        next++;
      }
    }
    if (result.nextOffset !== next) throw new Error(`next offset is ${result.nextOffset}, read up to ${next}`);
  }
}
