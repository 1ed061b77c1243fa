/** One measured line, how lines are kept, and what a table says about them. */
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

/** One run of one case against one target. Figures are numbers by name, with the unit in the name. */
export interface Line {
  case: string;
  target: string;
  /** Position in the interleaved order, from 1. */
  run: number;
  figures: Record<string, number>;
  /** Set instead of figures when the run failed. */
  failed?: string;
}

const git = (...args: string[]): string => spawnSync('git', args, { encoding: 'utf8' }).stdout.trim();

/** Collects lines and appends each to `bench/results/<date>-<commit>.jsonl` as it comes. */
export class Results {
  readonly lines: Line[] = [];
  readonly file: string;

  constructor() {
    const commit = git('rev-parse', '--short', 'HEAD');
    const dirty = git('status', '--porcelain', '--untracked-files=no') !== '';
    const date = new Date().toISOString();
    mkdirSync('bench/results', { recursive: true });
    this.file = `bench/results/${date.slice(0, 10)}-${commit}.jsonl`;
    const machine = { cores: cpus().length, cpu: cpus()[0]?.model, memoryGiB: Math.round(totalmem() / 2 ** 30) };
    this.#write({ date, commit, uncommittedChanges: dirty, node: process.version, ...machine });
  }

  add(line: Line): void {
    this.lines.push(line);
    this.#write(line);
    const figures = Object.entries(line.figures).map(([name, value]) => `${name}=${round(value)}`);
    console.log(`${line.case.padEnd(22)} ${line.target.padEnd(20)} #${line.run} ${line.failed ?? figures.join(' ')}`);
  }

  #write(entry: object): void {
    appendFileSync(this.file, `${JSON.stringify(entry)}\n`);
  }
}

export interface Spread {
  median: number;
  least: number;
  most: number;
}

export function spreadOf(values: readonly number[]): Spread | null {
  const sorted = values.filter(Number.isFinite).toSorted((a, b) => a - b);
  if (sorted.length === 0) return null;
  const middle = (sorted.length - 1) / 2;
  const median = ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
  return { median, least: sorted[0] ?? 0, most: sorted.at(-1) ?? 0 };
}

export function round(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en');
  return String(Math.round(value * 100) / 100);
}

const show = (spread: Spread | null): string => {
  if (spread === null) return '-';
  const { median, least, most } = spread;
  return least === most ? round(median) : `${round(median)} (${round(least)}-${round(most)})`;
};

/**
 * A row for every figure of every case, a column for every target: median and range. The ratio to the peer is that of
 * the medians, and is there only when the peer has lines of the same case.
 */
export function table(lines: readonly Line[], targets: readonly string[], peer: string): string {
  const rows: string[][] = [];
  for (const name of new Set(lines.map(line => line.case))) {
    const own = lines.filter(line => line.case === name);
    for (const figure of new Set(own.flatMap(line => Object.keys(line.figures)))) {
      const spreads = new Map(
        targets.map(target => [
          target,
          spreadOf(own.filter(line => line.target === target).map(line => line.figures[figure] ?? Number.NaN)),
        ]),
      );
      const other = spreads.get(peer);
      const cells = targets.map(target => {
        const spread = spreads.get(target) ?? null;
        const ratio =
          spread !== null && other !== null && other !== undefined && target !== peer && other.median > 0
            ? ` ${(spread.median / other.median).toFixed(2)}x`
            : '';
        return show(spread) + ratio;
      });
      rows.push([name, figure, ...cells]);
    }
  }
  const header = ['case', 'figure', ...targets];
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map(row => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return [line(header), ...rows.map(line)].join('\n');
}
