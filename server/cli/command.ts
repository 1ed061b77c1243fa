import { parseArgs, type ParseArgsConfig } from 'node:util';
import { MillstreamError } from '../../core/base/errors.ts';
import { BrokerError } from '../../core/client/broker-error.ts';

/** What a command sees of the world; handed in, so that tests run commands in-process. */
export interface Io {
  out(chunk: string | Uint8Array): void;
  /** Resolves when what was written has been taken, so that a slow reader holds a fast writer back. Kind `unavailable`,
   * code OUTPUT_FAILED when it cannot be written (a full disk). */
  drained(): Promise<void>;
  err(text: string): void;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  stdin: NodeJS.ReadableStream;
  isTerminal: boolean;
  /** Aborted by SIGINT, SIGTERM or SIGHUP, or when nobody reads the output any more (`| head`). */
  signal: AbortSignal;
  /** Ends the process now, whatever still runs in it. */
  leave(code: number): void;
}

/** 0 ok, 1 found problems, 2 usage, 3 cannot reach the server, 4 refused by it. */
export const EXIT = { ok: 0, problems: 1, usage: 2, unreachable: 3, refused: 4 } as const;

export type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

export interface Command {
  /** `millstream topic create NAME [--partitions N]` without the first word. */
  usage: string;
  summary: string;
  options?: Record<string, OptionSpec>;
  /** How many words must and may follow the command. */
  words: readonly [least: number, most: number];
  run(words: string[], values: Values, io: Io): Promise<number>;
}

export interface OptionSpec {
  type: 'string' | 'boolean';
  short?: string;
  multiple?: boolean;
  help: string;
}

/** Options that every command takes. */
export const COMMON_OPTIONS: Record<string, OptionSpec> = {
  config: { type: 'string', help: 'the millstream.toml to read (default: ./millstream.toml if there is one)' },
  help: { type: 'boolean', short: 'h', help: 'show this' },
};

export function usageError(message: string, help?: string): MillstreamError {
  return new MillstreamError('invalid', 'USAGE', message, help === undefined ? {} : { help });
}

/** Parses and runs one command; prints its help when asked. Throws MillstreamError. */
export async function runCommand(command: Command, args: string[], io: Io): Promise<number> {
  const options = { ...command.options, ...COMMON_OPTIONS };
  let parsed: { values: Values; positionals: string[] };
  try {
    const config: ParseArgsConfig = { args, options: options, allowPositionals: true };
    parsed = parseArgs(config);
  } catch (error) {
    throw usageError((error as Error).message.split('. ')[0] ?? 'wrong usage', `usage: millstream ${command.usage}`);
  }
  if (parsed.values['help'] === true) {
    io.out(helpText(command));
    return EXIT.ok;
  }
  const [least, most] = command.words;
  if (parsed.positionals.length < least || parsed.positionals.length > most) {
    throw usageError(`usage: millstream ${command.usage}`);
  }
  return command.run(parsed.positionals, parsed.values, io);
}

export function helpText(command: Command): string {
  const options = Object.entries({ ...command.options, ...COMMON_OPTIONS }).map(([name, spec]) => {
    const flag = `${spec.short ? `-${spec.short}, ` : ''}--${name}${spec.type === 'string' ? ' VALUE' : ''}`;
    return `  ${flag.padEnd(26)}${spec.help}`;
  });
  return `${command.summary}\n\nusage: millstream ${command.usage}\n\n${options.join('\n')}\n`;
}

/** The exit code that an error stands for. */
export function exitCodeOf(error: MillstreamError): number {
  if (error.code === 'USAGE') return EXIT.usage;
  if (error.code === 'UNREACHABLE' || error.code.startsWith('TLS_')) return EXIT.unreachable;
  if (error.code === 'REFUSED' || error.code === 'AUTH_FAILED' || error instanceof BrokerError) return EXIT.refused;
  return EXIT.problems;
}

export function text(values: Values, name: string): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
}

/** A whole number within bounds, or undefined when the option is not given. */
export function wholeNumber(values: Values, name: string, least: number, most: number): number | undefined {
  const value = text(values, name);
  if (value === undefined) return undefined;
  const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= least && number <= most)) {
    throw usageError(`--${name} takes a whole number from ${least} to ${most}, not "${value}"`);
  }
  return number;
}

/** Columns padded to their widest cell; numbers to the right. */
export function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map(row => String(row[i] ?? '').length)));
  const line = (cells: readonly (string | number)[]): string =>
    cells
      .map((cell, i) =>
        typeof cell === 'number' ? String(cell).padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0),
      )
      .join('  ')
      .trimEnd();
  return `${[line(header), ...rows.map(line)].join('\n')}\n`;
}
