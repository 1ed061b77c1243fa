/**
 * The pipelines of the kill suite, and what they must make of the records: a few lines that know the modules' promises
 * and nothing of their code. `first` scrubs and classifies, `second` reads what `first` wrote.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Millstream } from '../servers/millstream.ts';
import { TopicReader } from '../servers/topic-reader.ts';
import type { Wire } from '../servers/wire.ts';
import type { DecodedRecord } from '../servers/wire-batch.ts';
import { numberOf, valueOf } from './producers/producer.ts';

const SINK = 'batch = { linger = "20ms" }\n';

const FIRST = `
name = "first"
[source]
topic = "orders"
[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["reporter.name"] }
[[step]]
name = "classify"
module = "strike_classifier"
[outputs]
default = "orders.clean"
severe = "orders.severe"
[sinks.clean]
${SINK}
[sinks.clean.file]
path = "out/orders.clean-{partition}.ndjson"
[sinks.severe]
from = "severe"
${SINK}
[sinks.severe.file]
path = "out/orders.severe-{partition}.ndjson"
`;

const SECOND = `
name = "second"
[source]
topic = "orders.clean"
[[step]]
name = "redact"
module = "pii_scrubber"
config = { fields = ["reporter"], method = "remove" }
[outputs]
default = "orders.final"
[sinks.final]
${SINK}
[sinks.final.file]
path = "out/orders.final-{partition}.ndjson"
`;

/** Topic -> the text that record n has there; null = it is not there. */
const OUTPUTS: Record<string, (n: number) => string | null> = {
  'orders.clean': n => (kindOf(n) === 'None' ? textOf(n, 'routine', { name: '***' }) : null),
  'orders.severe': n => (kindOf(n) === 'Substantial' ? textOf(n, 'severe', { name: '***' }) : null),
  'orders.final': n => (kindOf(n) === 'None' ? textOf(n, 'routine') : null),
  'first.dead': n => (deathOf(n) === null ? null : valueOf(n)),
};
const SINKS = ['orders.clean', 'orders.severe', 'orders.final'];

function textOf(n: number, tier: string, reporter?: { name: string }): string {
  return JSON.stringify({ n, damage: kindOf(n), ...(reporter && { reporter }), tier });
}

function kindOf(n: number): string {
  const value = valueOf(n);
  return value.endsWith('}') ? (JSON.parse(value) as { damage: string }).damage : 'no JSON';
}

/** Step and code of its dead letter. */
function deathOf(n: number): string | null {
  const kind = kindOf(n);
  return kind === 'no JSON' ? 'scrub INVALID_JSON' : kind === '?' ? 'classify UNKNOWN_DAMAGE' : null;
}

interface Track {
  reader: TopicReader;
  expected: (n: number) => string | null;
  /** Per partition: what was read, and how much of the source it accounts for. */
  pending: DecodedRecord[][];
  at: number[];
  records: number;
}

export class KillPipelines {
  /** Per partition of the source: number and offset of each of its records, in order. */
  readonly #source: { n: number; offset: number }[][];
  readonly #tracks: Track[];
  readonly #exactlyOnce: boolean;

  /** `exactlyOnce`: what the file sink promises. */
  constructor(partitions: number, exactlyOnce: boolean) {
    this.#exactlyOnce = exactlyOnce;
    this.#source = Array.from({ length: partitions }, () => []);
    this.#tracks = Object.entries(OUTPUTS).map(([topic, expected]) => ({
      reader: new TopicReader(topic, partitions),
      expected,
      pending: Array.from({ length: partitions }, () => []),
      at: new Array<number>(partitions).fill(0),
      records: 0,
    }));
  }

  install(server: Millstream): void {
    writeFileSync(join(server.folder, 'pipelines/first.toml'), FIRST);
    writeFileSync(join(server.folder, 'pipelines/second.toml'), SECOND);
  }

  get topics(): string[] {
    return this.#tracks.map(track => track.reader.topic);
  }

  get records(): Record<string, number> {
    return Object.fromEntries(this.#tracks.map(track => [track.reader.topic, track.records]));
  }

  /** A record of the source, as it lies in the log. */
  readonly source = (partition: number, offset: number, n: number): void => {
    this.#source[partition]?.push({ n, offset });
  };

  /** Reads what is new in the outputs. The source must be read behind this and before `check`. */
  async read(wire: Wire): Promise<void> {
    for (const track of this.#tracks) {
      (await track.reader.read(wire)).forEach((records, partition) => track.pending[partition]?.push(...records));
    }
  }

  /** Everything read so far is what the source makes, in order; nothing is missing in between. */
  check(): void {
    for (const track of this.#tracks) {
      track.pending.forEach((records, partition) => {
        for (const record of records.splice(0)) this.#checkOne(track, partition, record);
      });
    }
  }

  #checkOne(track: Track, partition: number, record: DecodedRecord): void {
    const { topic } = track.reader;
    const where = `${topic}-${partition}@${record.offset}`;
    const due = this.#next(track, partition);
    const value = record.value.toString();
    if (due === undefined) throw new Error(`${where}: ${value}, where nothing is due`);
    track.at[partition] = due.index + 1;
    track.records++;
    if (value !== due.text) throw new Error(`${where}: ${value}, where ${due.text} is due`);
    if (topic !== 'first.dead') return;
    const say = (name: string): string => record.headers.get(`millstream.dl.${name}`) ?? '';
    const death = `${say('name')} ${say('code')} ${say('partition')}-${say('offset')}`;
    const expected = `${deathOf(numberOf(record.value))} ${partition}-${due.offset}`;
    if (death !== expected) throw new Error(`${where}: ${death}, where ${expected} is due`);
  }

  /** The next source record that comes out here, and its text. */
  #next(track: Track, partition: number): { index: number; offset: number; text: string } | undefined {
    const source = this.#source[partition] ?? [];
    for (let index = track.at[partition] ?? 0; index < source.length; index++) {
      const { n, offset } = source[index] as { n: number; offset: number };
      const text = track.expected(n);
      if (text !== null) return { index, offset, text };
    }
    return undefined;
  }

  /** How many records are still to come out, over all outputs. */
  missing(): number {
    let missing = 0;
    for (const track of this.#tracks) {
      this.#source.forEach((source, partition) => {
        for (const { n } of source.slice(track.at[partition])) if (track.expected(n) !== null) missing++;
      });
    }
    return missing;
  }

  /** What is wrong with the files of the sinks, and how many lines are there more than once; at the end of the run. */
  sinks(folder: string): { wrong: string | null; lines: number; repeated: number } {
    let [lines, repeated] = [0, 0];
    for (const topic of SINKS) {
      for (const [partition, source] of this.#source.entries()) {
        const due = source.flatMap(({ n }) => OUTPUTS[topic]?.(n) ?? []);
        const found = linesOf(join(folder, `out/${topic}-${partition}.ndjson`));
        lines += found.length;
        const judged = this.#exactlyOnce ? exactly(found, due) : atLeast(found, due);
        if (judged.wrong !== null) return { wrong: `${topic}-${partition}: ${judged.wrong}`, lines, repeated };
        repeated += judged.repeated;
      }
    }
    return { wrong: null, lines, repeated };
  }
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(0, -1);
  } catch {
    return [];
  }
}

interface Judged {
  wrong: string | null;
  repeated: number;
}

function exactly(found: readonly string[], due: readonly string[]): Judged {
  const odd = due.findIndex((line, i) => found[i] !== line);
  if (odd >= 0) return { wrong: `line ${odd + 1} is ${found[odd]}, where ${due[odd]} is due`, repeated: 0 };
  return { wrong: found.length > due.length ? `${found.length - due.length} lines too many` : null, repeated: 0 };
}

/** All lines in order; a sink may go back and write on from an earlier line. */
function atLeast(found: readonly string[], due: readonly string[]): Judged {
  const places = new Map(due.map((line, i) => [line, i]));
  let [next, most] = [0, 0];
  for (const [i, line] of found.entries()) {
    const place = places.get(line);
    if (place === undefined) return { wrong: `line ${i + 1} is ${line}, which nobody wrote`, repeated: 0 };
    if (place > next) return { wrong: `line ${i + 1} is ${line}, where ${due[next]} is due`, repeated: 0 };
    next = place + 1;
    most = Math.max(most, next);
  }
  return { wrong: most < due.length ? `${due.length - most} lines are missing` : null, repeated: found.length - most };
}
