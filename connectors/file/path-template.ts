import path from 'node:path';

/** Placeholders of a file sink's `path`; times are the record's timestamp, in UTC. */
export const PLACEHOLDERS = ['yyyy', 'MM', 'dd', 'HH', 'topic', 'partition'] as const;

const PLACEHOLDER = /\{([^{}]*)\}/g;

export interface PathParts {
  topic: string;
  partition: number;
  timestamp: number;
}

/** The first placeholder that is none of ours; null when all are known. */
export function unknownPlaceholder(template: string): string | null {
  for (const [, name = ''] of template.matchAll(PLACEHOLDER)) {
    if (!(PLACEHOLDERS as readonly string[]).includes(name)) return name;
  }
  return null;
}

/** Makes paths from a template; the last one is remembered, since neighbours mostly share it. */
export class PathTemplate {
  private readonly template: string;
  private readonly baseDirectory: string;
  private readonly step: number;
  private last: { topic: string; partition: number; from: number; to: number; path: string } | null = null;

  constructor(template: string, baseDirectory: string) {
    this.template = template;
    this.baseDirectory = baseDirectory;
    // All records of one UTC hour (day, without {HH}) share a path.
    this.step = /\{HH\}/.test(template)
      ? 3600e3
      : /\{(yyyy|MM|dd)\}/.test(template)
        ? 86400e3
        : Number.POSITIVE_INFINITY;
  }

  /** The absolute path; null when the timestamp is none that a calendar knows. */
  of(parts: PathParts): string | null {
    const { last } = this;
    const { topic, partition, timestamp } = parts;
    if (last?.topic === topic && last.partition === partition && timestamp >= last.from && timestamp < last.to) {
      return last.path;
    }
    const timed = Number.isFinite(this.step);
    const date = new Date(timed ? timestamp : 0);
    if (Number.isNaN(date.getTime())) return null;
    const two = (value: number): string => String(value).padStart(2, '0');
    const values: Record<string, string> = {
      yyyy: String(date.getUTCFullYear()).padStart(4, '0'),
      MM: two(date.getUTCMonth() + 1),
      dd: two(date.getUTCDate()),
      HH: two(date.getUTCHours()),
      topic,
      partition: String(partition),
    };
    const filled = this.template.replace(PLACEHOLDER, (_, name: string) => values[name] ?? '');
    const from = timed ? Math.floor(timestamp / this.step) * this.step : Number.NEGATIVE_INFINITY;
    const to = timed ? from + this.step : Number.POSITIVE_INFINITY;
    this.last = { topic, partition, from, to, path: path.resolve(this.baseDirectory, filled) };
    return this.last.path;
  }
}
