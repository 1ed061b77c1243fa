import type { Cursor } from '../base/varint.ts';
import type { CommitLineage } from './engine.ts';
import type { BatchHeader, Header } from './records.ts';
import { isControl, readRecords } from './records.ts';

/*
 * Where records come from. Every commit of a pipeline, sink or source that appended something leaves an entry in the
 * commit marker of each partition that it wrote to: header `millstream.lineage` of the control record, UTF-8 JSON, one
 * header for each commit that shares the transaction. It lives exactly as long as the records that it speaks of.
 *
 *   { "v": 1,
 *     "group":   "millstream.orders"              who: a pipeline, or "….<sink>", or "….source"
 *     "source":  ["orders", "<topic id>", 3]      topic, its id, partition
 *     "range":   [1200, 1700]                     source offsets [from, next): the commit, and those before it that
 *                                                 appended nothing anywhere. One group's ranges follow without a gap.
 *     "appends": [[880, 1375, "<map>"]]           offsets [from, to) in this partition, and which source record each
 *                                                 comes from; null when that would take too much room
 *     "records": [500, 495, 4, 0, 1]              source records of the range: taken, emitted, dropped, passed, dead
 *     "steps":   [["scrub", "4f2a9c01be12", 4, 0, 1], …] }     name, module digest, inputs dropped, passed, dead
 *
 * "records" and "steps" are what a pipeline says; sinks and sources leave them out.
 *
 * A map is base64 of runs: one varint, zigzag(step) << 1 | (more than one ? 1 : 0), then for more than one their number as
 * a varint: each record's source offset is the one before it (0 at first) plus `step`. 1:1 takes about eight bytes.
 */
export const LINEAGE_HEADER = 'millstream.lineage';

/** Of a module's sha256, as many hex digits as an entry keeps. */
export const DIGEST_DIGITS = 12;

/** What became of source records: taken = emitted + dropped + passed + dead. */
export interface RecordCounts {
  in: number;
  /** At least one output, none of which a step passed on after it had failed. */
  emitted: number;
  /** No output and no dead letter. */
  dropped: number;
  /** At least one output, and a step passed the record, or what came of it, on unchanged after it had failed. */
  passed: number;
  /** No output, at least one dead letter. */
  dead: number;
}

export interface StepLineage {
  name: string;
  /** The first digits of the module's sha256. */
  sha256: string;
  /** Of the step's inputs. */
  dropped: number;
  passed: number;
  dead: number;
}

export interface LineageAppend {
  from: number;
  to: number;
  /** As `originsOf` reads it; null: not known record by record. */
  map: string | null;
}

/** One commit, as far as one partition is concerned. */
export interface Lineage {
  group: string;
  topic: string;
  topicId: string;
  partition: number;
  /** Source offsets [from, next). */
  from: number;
  next: number;
  appends: LineageAppend[];
  records: RecordCounts | null;
  steps: StepLineage[];
}

export type LineageSource = Pick<Lineage, 'group' | 'topic' | 'topicId' | 'partition'>;

export function lineageHeader(
  { group, topic, topicId, partition }: LineageSource,
  { from, records, steps }: CommitLineage,
  next: bigint,
  appends: readonly LineageAppend[],
): Header {
  const entry = {
    v: 1,
    group,
    source: [topic, topicId, partition],
    range: [Number(from), Number(next)],
    appends: appends.map(({ from: first, to, map }) => [first, to, map]),
    ...(records && { records: [records.in, records.emitted, records.dropped, records.passed, records.dead] }),
    ...(steps && {
      steps: steps.map(({ name, sha256, dropped, passed, dead }) => [name, sha256, dropped, passed, dead]),
    }),
  };
  return [LINEAGE_HEADER, Buffer.from(JSON.stringify(entry))];
}

/** The entries of a marker's batch; none for data, for markers of clients' transactions, and for what cannot be read. */
export function lineageOf(batch: Uint8Array, header: BatchHeader): Lineage[] {
  if (!isControl(header) || header.recordCount === 0) return [];
  try {
    return readRecords(batch).flatMap(({ headers }) =>
      headers.flatMap(([name, value]) => (name === LINEAGE_HEADER && value ? (parse(value) ?? []) : [])),
    );
  } catch {
    return [];
  }
}

interface Written {
  v: number;
  group: string;
  source: [string, string, number];
  range: [number, number];
  appends: [number, number, string | null][];
  records?: [number, number, number, number, number];
  steps?: [string, string, number, number, number][];
}

function parse(bytes: Uint8Array): Lineage | null {
  const {
    v,
    group,
    source,
    range,
    appends,
    records,
    steps = [],
  } = JSON.parse(Buffer.from(bytes).toString()) as Written;
  if (v !== 1) return null;
  const [topic, topicId, partition] = source;
  const [taken = 0, emitted = 0, dropped = 0, passed = 0, dead = 0] = records ?? [];
  return {
    group,
    topic,
    topicId,
    partition,
    from: range[0],
    next: range[1],
    appends: appends.map(([from, to, map]) => ({ from, to, map })),
    records: records ? { in: taken, emitted, dropped, passed, dead } : null,
    steps: steps.map(([name, sha256, ...counts]) => {
      return { name, sha256, dropped: counts[0], passed: counts[1], dead: counts[2] };
    }),
  };
}

/** Source offset of each record of an append, in their order; null when the map is not there or is damaged. */
export function originsOf({ from, to, map }: LineageAppend): number[] | null {
  if (map === null) return null;
  const origins = readOrigins(Buffer.from(map, 'base64'), to - from);
  return origins?.length === to - from ? origins : null;
}

/** Reads a map of at most that many records; null when it is damaged. */
export function readOrigins(bytes: Uint8Array, most: number): number[] | null {
  const origins: number[] = [];
  const at: Cursor = { offset: 0 };
  let origin = 0;
  try {
    while (at.offset < bytes.length) {
      const head = readUnsigned(bytes, at);
      const half = Math.floor(head / 2);
      const step = half % 2 === 0 ? half / 2 : -(half + 1) / 2;
      const count = head % 2 === 0 ? 1 : readUnsigned(bytes, at);
      if (origins.length + count > most) return null;
      for (let i = 0; i < count; i++) origins.push((origin += step));
    }
  } catch {
    return null;
  }
  return origins;
}

/** The map of records with these source offsets. */
export function writeOrigins(origins: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(origins.length * 20);
  let end = 0;
  let before = 0;
  for (let i = 0; i < origins.length; ) {
    const step = (origins[i] as number) - before;
    let count = 0;
    for (; i < origins.length && (origins[i] as number) - before === step; i++, count++) before = origins[i] as number;
    const zigzag = step >= 0 ? step * 2 : -step * 2 - 1;
    end = writeUnsigned(bytes, end, zigzag * 2 + (count > 1 ? 1 : 0));
    if (count > 1) end = writeUnsigned(bytes, end, count);
  }
  return bytes.slice(0, end);
}

/* Unsigned varints of up to 2^53 (LEB128). */
function readUnsigned(bytes: Uint8Array, at: Cursor): number {
  let value = 0;
  for (let unit = 1; unit <= 2 ** 49; unit *= 128) {
    const byte = bytes[at.offset++];
    if (byte === undefined) break;
    value += (byte & 0x7f) * unit;
    if (byte < 0x80) return value;
  }
  throw new RangeError('a varint is damaged');
}

function writeUnsigned(target: Uint8Array, offset: number, value: number): number {
  while (value >= 128) {
    target[offset++] = (value % 128) | 0x80;
    value = Math.floor(value / 128);
  }
  target[offset++] = value;
  return offset;
}
