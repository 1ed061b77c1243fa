import { systemClock } from '../../core/base/clock.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import type { Logger } from '../../core/base/logger.ts';
import { Metrics } from '../../core/base/metrics.ts';
import { openSandbox } from '../../etl/sandbox/pool.ts';
import type { Sandbox } from '../../etl/sandbox/sandbox.ts';
import type { RecordResult } from '../modules/run-module.ts';
import { type Io, text, type Values } from './command.ts';

/** What the module commands have in common: a sandbox for one command, and records as lines of JSON. */

export async function withSandbox<T>(logger: Logger, work: (sandbox: Sandbox) => Promise<T>): Promise<T> {
  const sandbox = openSandbox({ workers: 1, clock: systemClock, logger, metrics: new Metrics() });
  try {
    return await work(sandbox);
  } finally {
    await sandbox.close();
  }
}

/** What a module logs, and stacks of what it throws, go to the standard error. */
export function errorLogger(io: Io): Logger {
  const line = (message: string): void => io.err(`${message}\n`);
  const logger: Logger = { debug: line, info: line, warn: line, error: line, with: () => logger };
  return logger;
}

const textOf = (bytes: Uint8Array | null): string | null => bytes && Buffer.from(bytes).toString();

/** One JSON object a line: each record that came out, or what became of it. */
export function resultLines({ emitted, failed }: RecordResult): string {
  if (failed) return `${JSON.stringify({ failed })}\n`;
  if (emitted.length === 0) return `${JSON.stringify({ dropped: true })}\n`;
  const lines = emitted.map(({ output, record: { key, value, headers } }) => {
    const pairs = headers.map(([name, each]) => [name, textOf(each)]);
    return `${JSON.stringify({ value: textOf(value), key: textOf(key), headers: pairs, output })}\n`;
  });
  return lines.join('');
}

/** The config that `--with` gives. */
export function configOf(values: Values): unknown {
  const given = text(values, 'with');
  try {
    return given === undefined ? {} : JSON.parse(given);
  } catch (error) {
    throw new MillstreamError('invalid', 'USAGE', `--with takes JSON: ${(error as Error).message}`, { cause: error });
  }
}
