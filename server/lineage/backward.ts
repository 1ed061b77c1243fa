import { fromDeadRecord } from '../../core/engine/dead-letter.ts';
import type { EngineHost } from '../../core/engine/host.ts';
import { originsOf } from '../../core/engine/lineage.ts';
import { writerOf, type WrittenBy } from './find.ts';
import type { Origin, Place } from './trace-types.ts';
import { type Budget, recordAt } from './walk.ts';

/** Pipelines that feed each other in a circle end here. */
const MOST_ORIGINS = 32;
const REPLAY = /\.replay$/;

/** Every record that this one comes from, nearest first, through chained pipelines and replays, to what a producer wrote. */
export async function originsBefore(host: EngineHost, place: Place, budget: Budget): Promise<Origin[]> {
  const origins: Origin[] = [];
  for (let at: Place | null = place; at && origins.length < MOST_ORIGINS; ) {
    const origin = await originBefore(host, at, budget);
    if (!origin) break;
    origins.push(origin);
    at = origin.record;
  }
  return origins;
}

async function originBefore(host: EngineHost, place: Place, budget: Budget): Promise<Origin | null> {
  const log = host.partitionLog(place.topic, place.partition);
  const written = log && (await writerOf(log, place.offset, budget));
  if (!log || !written) return null;
  const record = (await recordAt(log, place.offset))?.record;
  const letter = record ? fromDeadRecord(record) : null;
  if (written.by === 'producer') {
    // Whoever asked for a replay is a producer: the letter is what came before.
    if (letter?.replayOf && REPLAY.test(place.topic)) return replayed(place, letter.pipeline, letter.replayOf);
    return { ...producer(written), record: null };
  }
  const { entry, append } = written;
  const { topic, partition } = entry;
  const common = {
    committedAt: written.at,
    steps: entry.steps.map(({ name, sha256 }) => ({ name, sha256 })),
    name: entry.group.replace(/^millstream\./, ''),
    range: { topic, partition, from: entry.from, to: entry.next },
  };
  if (entry.group.endsWith('.source')) {
    return {
      ...common,
      by: 'source',
      name: common.name.replace(/\.source$/, ''),
      range: null,
      record: null,
      note: null,
    };
  }
  const by = entry.records ? ('pipeline' as const) : ('sink' as const);
  if (host.topicInfo(topic)?.topicId !== entry.topicId) {
    return { ...common, by, record: null, note: `the topic ${topic} that it was read from was deleted` };
  }
  if (entry.from === entry.next) {
    return {
      ...common,
      by,
      range: null,
      record: null,
      note: 'a timer of a partition that was idle: no record made it come',
    };
  }
  const exact = originsOf(append)?.[place.offset - append.from];
  // A dead letter says itself where its record lies, unless it is one of a replay.
  const said = letter && letter.topicId === entry.topicId ? letter.offset : undefined;
  const offset = exact ?? said;
  if (offset !== undefined) return { ...common, by, record: { topic, partition, offset }, note: null };
  const note = 'which record of the range is not known: the map of its commit would have taken more than 4 KiB';
  return { ...common, by, record: null, note: letter ? 'it is one of a replay in this range' : note };
}

function producer({ transaction }: Extract<WrittenBy, { by: 'producer' }>): Omit<Origin, 'record'> {
  const notes = {
    none: null,
    committed: 'in a transaction of its own',
    open: 'in a transaction that is still open',
    aborted: 'in a transaction that was aborted: nobody who reads committed records sees it',
  };
  return { by: 'producer', name: null, committedAt: null, steps: [], range: null, note: notes[transaction] };
}

function replayed({ topic }: Place, pipeline: string, replayOf: string): Origin {
  const [partition = 0, offset = 0] = replayOf.split('-').map(Number);
  const record = { topic: `${pipeline}.dead`, partition, offset };
  return { by: 'replay', name: topic, committedAt: null, steps: [], range: null, record, note: null };
}
