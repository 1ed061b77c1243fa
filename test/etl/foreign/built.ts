import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe } from 'vitest';
import { fromDeadRecord } from '../../../core/engine/dead-letter.ts';
import { type NewRecord, encodeBatch, type LogRecord, readRecords } from '../../../core/engine/records.ts';
import type { Logger } from '../../../core/base/logger.ts';
import type { ChainStep, Sandbox, StoredModule, TaskResult } from '../../../etl/sandbox/sandbox.ts';
import { chainOf, moduleOf, stepOf } from '../sandbox/guests.ts';
import { outputOf, record, TIME, taskOf, testSandbox } from '../sandbox/harness.ts';

/*
 * Guests that were built with the public SDKs of Redpanda and Fluvio (test/etl/guests), as they are. What is expected of them is
 * written down here from what their sources and their systems' documents say.
 */

const FOLDER = fileURLToPath(new URL('../guests/target/guests/', import.meta.url));

/** These tests are skipped, by this name, where no Rust toolchain has built the guests. */
export const foreignGuests = describe.skipIf(!existsSync(`${FOLDER}done`));

export const foreignGuestsInGo = describe.skipIf(!existsSync(`${FOLDER}redpanda-go.wasm`));

export const guestFile = (name: string): string => `${FOLDER}${name}.wasm`;

export function guestNamed(name: string): StoredModule {
  return moduleOf(readFileSync(guestFile(name)), name);
}

/** A log that can be read. */
export function linesOf(): { logger: Logger; lines: string[] } {
  const lines: string[] = [];
  const say =
    (level: string) =>
    (message: string): void =>
      void lines.push(`${level} ${message}`);
  const logger: Logger = {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    with: () => logger,
  };
  return { logger, lines };
}

/** One sandbox with one worker for all tests of a file. */
export function useSandbox(): { run: Run; sandbox: () => Sandbox; lines: string[] } {
  const { logger, lines } = linesOf();
  let sandbox: Sandbox;
  beforeAll(() => {
    sandbox = testSandbox(1, logger);
  });
  afterAll(() => sandbox.close());
  const run: Run = async (name, values, options = {}) => {
    const { baseOffset = 100, ...step } = options;
    const lane = sandbox.openLane(chainOf([stepOf(guestNamed(name), { timeMs: 100, ...step })]));
    const records = values.map((value, i) =>
      typeof value === 'object' && value !== null ? value : record(value, { timestamp: TIME + i }),
    );
    try {
      return await lane.run(taskOf([encodeBatch(records, { baseOffset })]));
    } finally {
      await lane.close();
    }
  };
  return { run, sandbox: () => sandbox, lines };
}

type Run = (
  guest: string,
  values: readonly (string | null | NewRecord)[],
  options?: Partial<ChainStep> & { baseOffset?: number },
) => Promise<TaskResult>;

/** Everything that makes up a record, in text. */
export function plain(records: readonly LogRecord[]) {
  const text = (bytes: Uint8Array | null): string | null => bytes && Buffer.from(bytes).toString();
  return records.map(({ key, value, headers, timestamp }) => ({
    key: text(key),
    value: text(value),
    headers: headers.map(([name, content]) => [name, text(content)]),
    timestamp,
  }));
}

export const output = (result: TaskResult, route = 0) => plain(outputOf(result, route));

/** Dead letters: offset, code, reason and the bytes that were kept. */
export function dead(result: TaskResult) {
  if (!result.dead) return [];
  return readRecords(result.dead.batch).map(each => {
    const letter = fromDeadRecord(each);
    return {
      offset: letter?.offset,
      code: letter?.code,
      reason: letter?.reason,
      value: each.value && Buffer.from(each.value).toString(),
    };
  });
}
