import { type DeadLetter, fromDeadRecord, toDeadRecord } from '../../core/engine/dead-letter.ts';
import type { Lease } from '../../core/engine/engine.ts';
import type { NewRecord } from '../../core/engine/records.ts';
import { nextLetter, type Replay } from '../../core/engine/replay.ts';
import type { SourceReject } from './contract.ts';
import type { Rejected } from './deliver.ts';

/** The dead letters of sinks and sources; those of steps are made where the steps run. */

type Where = Pick<Lease, 'topic' | 'topicId' | 'partition'>;

/** `mostBytes`: keys and values are cut to this length, null: kept whole. The reason tells of a cut. `replay`: what the
 * record is the replay of; its letter goes on telling where the first one came from. */
export function sinkLetter(
  { pipeline, name }: { pipeline: string; name: string },
  lease: Where,
  { record, code, reason }: Rejected,
  at: number,
  mostBytes: number | null,
  replay: Replay | null = null,
): NewRecord {
  const most = mostBytes ?? Number.POSITIVE_INFINITY;
  const source = replay?.source ?? record;
  const longest = Math.max(...[source.key, source.value, replay?.letter.input].map(bytes => bytes?.length ?? 0));
  const cut = (bytes: Uint8Array | null): Uint8Array | null => bytes && bytes.subarray(0, Math.min(most, bytes.length));
  const told =
    longest > most ? `${reason} (${longest} bytes are cut to ${most}: the topic takes no larger letter)` : reason;
  const replays = fromDeadRecord(record)?.replays ?? 0;
  const first = letterOf(pipeline, 'sink', name, lease, { offset: record.offset, code, reason: told, at, replays });
  const letter = replay ? nextLetter(replay, first) : first;
  return toDeadRecord(
    { ...source, key: cut(source.key), value: cut(source.value) },
    longest > most ? { ...letter, cut: true, input: null } : letter,
  );
}

export function sourceLetter(pipeline: string, lease: Where, rejected: SourceReject, now: number): NewRecord {
  const { raw, at, code, reason } = rejected;
  return toDeadRecord(
    { key: null, value: raw, headers: [], timestamp: now },
    letterOf(pipeline, 'source', 'source', lease, { offset: at, code, reason, at: now, replays: 0 }),
  );
}

function letterOf(
  pipeline: string,
  stage: 'sink' | 'source',
  name: string,
  { topic, topicId, partition }: Where,
  rest: Pick<DeadLetter, 'offset' | 'code' | 'reason' | 'at' | 'replays'>,
): DeadLetter {
  return { pipeline, stage, name, topic, topicId, partition, index: 0, sha256: null, input: null, ...rest };
}
