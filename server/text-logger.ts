import type { Clock } from '../core/base/clock.ts';
import type { LogFields, Logger, LogLevel } from '../core/base/logger.ts';

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** Writes a line of text (for people) or JSON (for collectors) for each message at or above `level`. */
export function createLogger(options: {
  level: LogLevel;
  json: boolean;
  clock: Clock;
  write: (line: string) => void;
  fields?: LogFields;
}): Logger {
  const { level, json, clock, write, fields = {} } = options;
  const least = LEVELS.indexOf(level);
  const log = (at: LogLevel, message: string, more: LogFields = {}): void => {
    if (LEVELS.indexOf(at) < least) return;
    const all = { ...fields, ...more };
    const time = new Date(clock.now()).toISOString();
    write(
      json
        ? `${JSON.stringify({ time, level: at, message, ...plain(all) })}\n`
        : `${textLine(time, at, message, all)}\n`,
    );
  };
  return {
    debug: (message, more) => log('debug', message, more),
    info: (message, more) => log('info', message, more),
    warn: (message, more) => log('warn', message, more),
    error: (message, more) => log('error', message, more),
    with: more => createLogger({ ...options, fields: { ...fields, ...more } }),
  };
}

function textLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const rest = Object.entries(plain(fields)).map(
    ([name, value]) => ` ${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${time.slice(11, 23)} ${level.padEnd(5)} ${message}${rest.join('')}`;
}

function plain(fields: LogFields): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      if (value instanceof Error) return [name, causes(value)];
      return [name, typeof value === 'bigint' ? String(value) : value];
    }),
  );
}

/** The error's sentence with those of its causes; an unexpected one (not ours) keeps its stack. */
function causes(error: Error): string {
  const own = error.name === 'MillstreamError' || !error.stack ? error.message : error.stack;
  return error.cause instanceof Error ? `${own}: ${causes(error.cause)}` : own;
}
