import { deadLetterId, fromDeadRecord } from '../../core/engine/dead-letter.ts';
import type { EngineHost } from '../../core/engine/host.ts';
import { type Lineage, originsOf } from '../../core/engine/lineage.ts';
import { isControl, readRecords } from '../../core/engine/records.ts';
import { stepReplayTopic } from '../../core/engine/replay.ts';
import type { PipelinePlan } from '../../etl/definition/plan.ts';
import { keyOf, parseTotals } from '../../etl/runner/totals.ts';
import { type EntrySource, findEntry, type FoundEntry } from './find.ts';
import type { Fate, LetterLine, Onward, Place, PlaceRange, SinkLine } from './trace-types.ts';
import { type Budget, recordAt, settled, walk } from './walk.ts';

/** Outputs that are followed on; the others are listed. */
const MOST_FOLLOWED = 100;
const MOST_DEPTH = 16;

export interface ForwardOptions {
  host: EngineHost;
  plans: readonly PipelinePlan[];
  budget: Budget;
}

/** Everybody who reads a record, and what they made of it. */
export async function onwardFrom(options: ForwardOptions, place: Place, depth = 0): Promise<Onward> {
  const { plans } = options;
  const pipelines: Fate[] = [];
  const sinks: SinkLine[] = [];
  for (const plan of plans) {
    const reads = plan.source.topic === place.topic || stepReplayTopic(plan.name) === place.topic;
    if (plan.steps.length > 0 && reads) pipelines.push(await fateIn(options, plan, place, depth));
    for (const { name, topic } of plan.sinks) {
      if (topic === place.topic) sinks.push(await sinkLine(options, plan, name, place));
    }
    if (plan.deadLetter && plan.deadLetterTopic === place.topic) {
      sinks.push(await sinkLine(options, plan, 'dead_letter', place));
    }
  }
  return { pipelines, sinks };
}

async function sinkLine(options: ForwardOptions, plan: PipelinePlan, sink: string, place: Place): Promise<SinkLine> {
  const { host } = options;
  const group = `millstream.${plan.name}.${sink}`;
  const position = host.committedOffset(group, place.topic, place.partition)?.offset ?? null;
  const base = { pipeline: plan.name, sink, position, deadLetters: [] };
  if (position === null || position <= place.offset) return { ...base, state: 'waiting' };
  const source = sourceOf(host, group, place);
  const deadLetters = source
    ? await lettersIn(options, plan, await coveringIn(options, source, place, dead(options, plan)), place)
    : [];
  return { ...base, deadLetters, state: deadLetters.length > 0 ? 'dead' : 'passed' };
}

async function fateIn(options: ForwardOptions, plan: PipelinePlan, place: Place, depth: number): Promise<Fate> {
  const { host } = options;
  const group = `millstream.${plan.name}`;
  const committed = host.committedOffset(group, place.topic, place.partition);
  const fate: Fate = {
    pipeline: plan.name,
    state: 'waiting',
    position: committed?.offset ?? null,
    committedAt: null,
    steps: [],
    droppedBy: [],
    outputs: [],
    among: [],
    deadLetters: [],
    note: null,
  };
  const source = sourceOf(host, group, place);
  if (!source || !committed || committed.offset <= place.offset) return fate;
  const found = await coveringIn(options, source, place, [...outputs(options, plan, place), ...dead(options, plan)]);
  const entry = found[0]?.entry;
  if (!entry) return { ...fate, ...withoutEntry(plan, committed.metadata, source.topicId, place) };
  fate.committedAt = found[0]?.at ?? null;
  fate.steps = entry.steps.map(({ name, sha256 }) => ({ name, sha256 }));
  for (const { topic, partition, entry: own } of found) {
    if (topic === plan.deadLetterTopic) continue;
    const { exact, among } = outputsOf(topic, partition, own, place.offset);
    fate.among.push(...among);
    for (const output of exact) {
      const isFollowed = fate.outputs.length < MOST_FOLLOWED && depth < MOST_DEPTH;
      const next = isFollowed ? await onwardFrom(options, output, depth + 1) : { pipelines: [], sinks: [] };
      fate.outputs.push({ ...output, next });
    }
  }
  fate.deadLetters = await lettersIn(options, plan, found, place);
  if (fate.outputs.length > 0) fate.state = 'emitted';
  else if (fate.deadLetters.length > 0) fate.state = 'dead';
  else if (fate.among.length > 0) {
    fate.state = 'unknown';
    fate.note = 'its outputs, if it has any, are among these: the map of its commit would have taken more than 4 KiB';
  } else {
    fate.state = 'dropped';
    fate.droppedBy = entry.steps.filter(({ dropped }) => dropped > 0).map(({ name }) => name);
  }
  return fate;
}

/** Processed, and no commit that is left accounts for it: since the last one everything was dropped, or it is long ago. */
function withoutEntry(plan: PipelinePlan, state: string, topicId: string, { offset }: Place): Partial<Fate> {
  const totals = parseTotals(state, topicId, 0);
  if (totals && totals.from !== null && offset < totals.from) {
    return { state: 'unknown', note: `the pipeline began at offset ${totals.from}` };
  }
  if (totals && totals.since.at <= offset) {
    const droppedBy = plan.steps.map(({ name }) => name).filter(name => (totals.since.dropped[keyOf(name)] ?? 0) > 0);
    return { state: 'dropped', droppedBy };
  }
  return { state: 'unknown', note: 'it was processed, but its outputs and what says where they went were removed' };
}

type Target = { topic: string; partition: number };

function outputs({ host }: ForwardOptions, plan: PipelinePlan, place: Place): Target[] {
  return plan.outputs.flatMap(({ topic, partitionBy }) => {
    const partitions = host.topicInfo(topic)?.partitions ?? 0;
    // A replay goes where its source record would have gone.
    const everywhere = partitionBy === 'key' || place.topic !== plan.source.topic;
    return everywhere ? allOf(topic, partitions) : [{ topic, partition: place.partition }];
  });
}

const dead = ({ host }: ForwardOptions, { deadLetterTopic: topic }: PipelinePlan): Target[] =>
  allOf(topic, host.topicInfo(topic)?.partitions ?? 0);

const allOf = (topic: string, partitions: number): Target[] =>
  Array.from({ length: partitions }, (_, partition) => ({ topic, partition }));

function sourceOf(host: EngineHost, group: string, { topic, partition }: Place): EntrySource | null {
  const info = host.topicInfo(topic);
  return info && { group, topicId: info.topicId, partition };
}

/** The entries that account for a source record, in those partitions that the commit wrote to. */
async function coveringIn(
  { host, budget }: ForwardOptions,
  source: EntrySource,
  { offset }: Place,
  targets: readonly Target[],
): Promise<(FoundEntry & Target)[]> {
  const found: (FoundEntry & Target)[] = [];
  for (const { topic, partition } of targets) {
    const log = host.partitionLog(topic, partition);
    if (!log) continue;
    const end = log.endOffset;
    await settled(log, end);
    const entry = await findEntry(log, source, offset, end, budget);
    if (entry && entry.entry.from <= offset) found.push({ ...entry, topic, partition });
  }
  return found;
}

function outputsOf(
  topic: string,
  partition: number,
  { appends }: Lineage,
  offset: number,
): { exact: Place[]; among: PlaceRange[] } {
  const exact: Place[] = [];
  const among: PlaceRange[] = [];
  for (const append of appends) {
    const origins = originsOf(append);
    if (!origins) among.push({ topic, partition, from: append.from, to: append.to });
    origins?.forEach((origin, i) => {
      if (origin === offset) exact.push({ topic, partition, offset: append.from + i });
    });
  }
  return { exact, among };
}

/** The dead letters of a source record; every one says itself what it is the letter of. */
async function lettersIn(
  { host, budget }: ForwardOptions,
  plan: PipelinePlan,
  found: readonly (FoundEntry & Target)[],
  place: Place,
): Promise<LetterLine[]> {
  const letters: LetterLine[] = [];
  const source = await letterPlace(host, place);
  for (const { topic, partition, entry } of found) {
    const log = topic === plan.deadLetterTopic ? host.partitionLog(topic, partition) : null;
    for (const append of log ? entry.appends : []) {
      for await (const { batch, header } of walk(log as NonNullable<typeof log>, append.from, append.to, budget)) {
        if (isControl(header)) continue;
        for (const record of readRecords(batch)) {
          const letter = fromDeadRecord(record);
          if (!letter || letter.topic !== source.topic || letter.partition !== source.partition) continue;
          if (letter.offset !== source.offset || record.offset < append.from || record.offset >= append.to) continue;
          const { name, code, reason } = letter;
          const id = deadLetterId(letter);
          letters.push({ topic, partition, offset: record.offset, id, refusedBy: name, code, reason });
        }
      }
    }
  }
  return letters;
}

/** What the letters of a record name as their source: that of the letter that a replay brings back, else the record. */
async function letterPlace(host: EngineHost, place: Place): Promise<Place> {
  const log = place.topic.endsWith('.replay') ? host.partitionLog(place.topic, place.partition) : null;
  const found = log && (await recordAt(log, place.offset));
  return (found && fromDeadRecord(found.record)) ?? place;
}
