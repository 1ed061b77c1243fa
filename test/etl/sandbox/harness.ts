import { enableCompileCache, getCompileCacheDir } from 'node:module';
import { dirname } from 'node:path';
import { systemClock } from '../../../core/base/clock.ts';
import { type Logger, silentLogger } from '../../../core/base/logger.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import {
  type BatchOptions,
  encodeBatch,
  type LogRecord,
  type NewRecord,
  readRecords,
} from '../../../core/engine/records.ts';
import { openSandbox } from '../../../etl/sandbox/pool.ts';
import type { LaneTask, Sandbox, TaskResult } from '../../../etl/sandbox/sandbox.ts';

/** Node's own folder in the temporary directory: the worker threads of many tests start much faster with it. */
function compileCache(): string {
  enableCompileCache();
  return dirname(getCompileCacheDir() ?? '');
}

export function testSandbox(workers = 1, logger: Logger = silentLogger): Sandbox {
  return openSandbox({ clock: systemClock, logger, metrics: new Metrics(), workers, compileCache: compileCache() });
}

export const TIME = 1_700_000_000_000;

export function record(value: string | null, more: Partial<NewRecord> = {}): NewRecord {
  return { timestamp: TIME, key: null, value: value === null ? null : Buffer.from(value), ...more };
}

export function batchOf(values: (string | null)[], options: BatchOptions = {}): Uint8Array {
  return encodeBatch(
    values.map((value, i) => record(value, { timestamp: TIME + i })),
    options,
  );
}

/** Several batches, one behind the other, in a buffer that may be transferred. */
export function taskOf(batches: Uint8Array[], options: Partial<LaneTask> = {}): LaneTask {
  const bytes = new Uint8Array(new ArrayBuffer(batches.reduce((sum, batch) => sum + batch.length, 0)));
  let at = 0;
  for (const batch of batches) {
    bytes.set(batch, at);
    at += batch.length;
  }
  return { batches: bytes, from: 0, samples: 0, ...options };
}

export function outputOf(result: TaskResult, route = 0): LogRecord[] {
  return result.outputs.filter(output => output.route === route).flatMap(output => readRecords(output.batch));
}

export const valuesOf = (records: readonly { value: Uint8Array | null }[]): (string | null)[] =>
  records.map(({ value }) => value && Buffer.from(value).toString());
