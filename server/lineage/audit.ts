import { committedBatches } from '../../core/log/committed-batches.ts';
import { lastOffset, readRecords } from '../../core/engine/records.ts';
import type { EngineHost } from '../../core/engine/host.ts';
import type { PipelinePlan } from '../../etl/definition/plan.ts';
import { keyOf } from '../../etl/runner/totals.ts';
import type { Audit, AuditCounts, AuditLine } from './audit-types.ts';
import { accountedFrom, chainOf, entriesOf } from './chain.ts';
import { type OutputScan, scanOutput } from './output-scan.ts';
import { type Snapshot, type SourceView, snapshotOf } from './snapshot.ts';
import { walk } from './walk.ts';

type Values = Partial<Pick<AuditLine, 'expected' | 'found' | 'note'>>;

/** What was checked, in the order in which it was. */
class Lines {
  readonly all: AuditLine[] = [];

  /** Two numbers that must be equal; `note` is said only when they are not. */
  equal(check: string, of: string, expected: number, found: number, note: string | null = null): void {
    const isSame = expected === found;
    this.add(check, of, isSame ? 'ok' : 'differs', { expected, found, note: isSame ? null : note });
  }

  add(
    check: string,
    of: string,
    result: AuditLine['result'],
    { expected = null, found = null, note = null }: Values = {},
  ): void {
    this.all.push({ check, of, result, expected, found, note });
  }
}

/**
 * Proves a running pipeline's books from what is on disk: what it has taken against what its source holds, what became of
 * it, every output and dead letter against the commits that wrote them, and its sinks' positions. It looks at one moment and
 * reads the source (up to the position), the outputs and the dead letters once; memory grows with the number of commits.
 */
export async function audit(host: EngineHost, plan: PipelinePlan, now: number): Promise<Audit> {
  const group = `millstream.${plan.name}`;
  const snapshot = snapshotOf(host, plan);
  const lines = new Lines();
  const outputs: OutputScan[] = [];
  for (const view of snapshot.outputs) outputs.push(await scanOutput(view));
  const dead: OutputScan[] = [];
  for (const view of snapshot.dead) dead.push(await scanOutput(view));

  for (const source of snapshot.sources) {
    const scans = [...outputs, ...dead];
    await checkTaken(lines, source);
    checkEnds(lines, source, plan);
    checkChain(lines, source, scans, group);
  }
  checkOutputs(lines, snapshot, outputs, plan, group);
  checkLetters(lines, snapshot, dead, plan, group);
  for (const scan of [...outputs, ...dead]) checkWriters(lines, scan, snapshot);
  checkSinks(lines, snapshot);
  const counts = countsOf(snapshot);
  return {
    pipeline: plan.name,
    ok: lines.all.every(({ result }) => result !== 'differs'),
    at: now,
    counts,
    lines: lines.all,
  };
}

const nameOf = ({ topic, partition }: { topic: string; partition: number }): string => `${topic}/${partition}`;

/** Records between where counting began and the position: as many as were taken, markers left out. */
async function checkTaken(lines: Lines, source: SourceView): Promise<void> {
  const { totals, position, log } = source;
  const check = 'source records taken';
  if (totals.from === null) {
    return lines.add(check, nameOf(source), 'unknown', { note: 'counting began with an older version' });
  }
  if (log.startOffset > totals.from) {
    const note = `the source begins at offset ${log.startOffset} now, counting began at ${totals.from}`;
    return lines.add(check, nameOf(source), 'unknown', { note });
  }
  const held = await recordsBetween(source, totals.from, position);
  const note = `offsets ${totals.from} to ${position - 1} hold another number of records than were taken`;
  lines.equal(check, nameOf(source), held, totals.in, note);
}

async function recordsBetween({ log }: SourceView, from: number, to: number): Promise<number> {
  let records = 0;
  for await (const { batch, header } of walk(log, from, Math.max(to, from))) {
    const aborted = log.abortedWithin(header.baseOffset, lastOffset(header) + 1);
    if (committedBatches([batch], aborted).length === 0) continue;
    records += countIn(batch, from, to);
  }
  return records;
}

/** Every batch is read: one that cannot be was taken as one record, whatever its header says. */
function countIn(batch: Uint8Array, from: number, to: number): number {
  try {
    return readRecords(batch).filter(({ offset }) => offset >= from && offset < to).length;
  } catch {
    return 1;
  }
}

/** in = emitted + dropped + passed + dead, for the pipeline and for each step. */
function checkEnds(lines: Lines, source: SourceView, plan: PipelinePlan): void {
  const { totals } = source;
  const { unsorted, emitted, dropped, passed, dead } = totals;
  const ended = unsorted + emitted + dropped + passed + dead;
  lines.equal('in = emitted + dropped + passed + dead', nameOf(source), totals.in, ended);
  for (const { name } of plan.steps) {
    const step = totals.steps[keyOf(name)];
    if (!step) continue;
    const ends = step.emitted + step.dropped + step.passed + step.dead;
    lines.equal('in = emitted + dropped + passed + dead', `${nameOf(source)}, step ${name}`, step.in, ends);
  }
}

/** The commits that the outputs tell of follow each other without gap or overlap, up to the state; their counts are its. */
function checkChain(lines: Lines, source: SourceView, scans: readonly OutputScan[], group: string): void {
  const { totals } = source;
  const check = 'commits follow each other';
  const since = accountedFrom(scans, source, group);
  const chain = chainOf(
    scans.flatMap(({ entries }) => entriesOf(entries, source, group)),
    source,
    since,
  );
  const fault =
    chain.fault ??
    (chain.next === totals.since.at
      ? null
      : `the outputs tell of commits up to source offset ${chain.next}, the state of commits up to ${totals.since.at}`);
  const note = fault ?? `${chain.commits} from source offset ${since}`;
  lines.add(check, nameOf(source), fault ? 'differs' : 'ok', { note });
  if (since !== totals.from) {
    const why = `the entries of the outputs begin at source offset ${since}`;
    return lines.add('their counts are the totals', nameOf(source), 'unknown', { note: why });
  }
  for (const end of ['in', 'emitted', 'dropped', 'passed', 'dead'] as const) {
    // What appended nothing yet was all dropped.
    const rest = end === 'in' || end === 'dropped' ? totals.since.records : 0;
    lines.equal(`their counts are the totals: ${end}`, nameOf(source), totals[end], chain.records[end] + rest);
  }
}

/** What totals say was written to each output topic can be read there. */
function checkOutputs(
  lines: Lines,
  { sources }: Snapshot,
  scans: readonly OutputScan[],
  plan: PipelinePlan,
  group: string,
): void {
  for (const [topic, own] of Map.groupBy(scans, scan => scan.topic)) {
    const names = plan.outputs.filter(output => output.topic === topic).map(({ name }) => keyOf(name));
    const expected = sum(sources, ({ totals }) => sum(names, name => totals.outputs[name] ?? 0));
    checkRecords(lines, 'output records are readable', topic, own, expected, foundIn(own, group, sources));
  }
}

function checkLetters(
  lines: Lines,
  { sources }: Snapshot,
  scans: readonly OutputScan[],
  plan: PipelinePlan,
  group: string,
): void {
  if (sources.length === 0) return;
  const expected = sum(sources, ({ totals }) => totals.letters);
  const found = foundIn(scans, group, sources);
  checkRecords(lines, "steps' dead letters are readable", plan.deadLetterTopic, scans, expected, found);
}

/** Records that the pipeline wrote. What an older version of it wrote has no entries, and counts as its own. */
function foundIn(scans: readonly OutputScan[], group: string, sources: readonly SourceView[]): number {
  const hasUnsorted = sources.some(({ totals }) => totals.unsorted > 0);
  return sum(scans, scan => (scan.byGroup.get(group) ?? 0) + (hasUnsorted ? scan.foreign : 0));
}

function checkRecords(
  lines: Lines,
  check: string,
  topic: string,
  scans: readonly OutputScan[],
  expected: number,
  found: number,
): void {
  const cut = scans.filter(scan => scan.from > 0);
  if (cut.length === 0) return lines.equal(check, topic, expected, found);
  const note = `records below ${cut.map(scan => `${nameOf(scan)}@${scan.from}`).join(', ')} were removed`;
  lines.add(check, topic, found > expected ? 'differs' : 'unknown', { expected, found, note });
}

/** Every record of an output was written by a commit, and every record that a commit wrote is there. */
function checkWriters(lines: Lines, scan: OutputScan, { sources }: Snapshot): void {
  const { foreign, firstForeign, missing } = scan;
  const check = 'every record has its commit';
  const isOld = sources.some(({ totals }) => totals.unsorted > 0 || totals.from === null);
  if (foreign === 0) lines.add(check, nameOf(scan), 'ok');
  else {
    const what = `${foreign} that no pipeline, sink or source wrote, the first at offset ${firstForeign}`;
    const note = isOld ? `${what}; an older version of the pipeline may have` : what;
    lines.add(check, nameOf(scan), isOld ? 'unknown' : 'differs', { expected: 0, found: foreign, note });
  }
  if (missing === 0) return;
  const note = 'records of commits are not there: compacted away, or gone';
  lines.add('every commit has its records', nameOf(scan), 'unknown', { expected: 0, found: missing, note });
}

function checkSinks(lines: Lines, { sinks }: Snapshot): void {
  for (const { sink, position, from, end, ...place } of sinks) {
    const of = `${sink}: ${nameOf(place)}`;
    const check = 'sink position is within its topic';
    if (position === null)
      lines.add(check, of, from === end || from === 0 ? 'ok' : 'unknown', { note: 'none committed yet' });
    else if (position > end)
      lines.add(check, of, 'differs', { expected: end, found: position, note: 'beyond the end' });
    else if (position < from)
      lines.add(check, of, 'differs', { expected: from, found: position, note: 'below the first record' });
    else lines.add(check, of, 'ok', { note: `${end - position} offsets behind the end` });
  }
}

function countsOf({ sources }: Snapshot): AuditCounts[] {
  return sources.map(({ topic, partition, totals, isReplay }) => {
    const { in: taken, emitted, dropped, passed, dead, unsorted, letters } = totals;
    const outputs = sum(Object.values(totals.outputs), records => records);
    const of = isReplay ? `replays (${topic})` : `${topic}/${partition}`;
    return { of, in: taken, emitted, dropped, passed, dead, unsorted, letters, outputs };
  });
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
