import { sleep } from '../../core/base/clock.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import { Admin } from '../../core/client/admin.ts';
import { BrokerError } from '../../core/client/broker-error.ts';
import type { Cluster } from '../../core/client/cluster.ts';
import { type ConsumedRecord, consume } from '../../core/client/consumer.ts';
import { listOffsets } from '../../core/client/list-offsets.ts';
import { TopicAdmin } from '../../core/client/topic-admin.ts';
import { keyOf } from '../../core/client/topic-partition.ts';
import { type DeadLetter, deadLetterId } from '../../core/engine/dead-letter.ts';
import { fromReplayRecord, type Replay } from '../../core/engine/replay.ts';

/** Dead letters and their replays, as the Kafka listener shows them: what the commands read. */

export interface Letter extends Replay {
  record: ConsumedRecord;
  id: string;
  /** partition-offset in the dead-letter topic: no two letters have the same. */
  place: string;
}

const POLL_MS = 100;
/** A transaction that nobody ends is aborted in this time, unless its client has asked for more. */
const SETTLED_WITHIN_MS = 15_000;

export const deadTopic = (pipeline: string): string => `${pipeline}.dead`;

/** Where a letter goes when it is replayed. */
export interface Destination {
  topic: string;
  /** Who reads it there. */
  group: string;
  /** "step scrub", "sink lake". */
  title: string;
}

/**
 * Every letter that lies in the topic now, partition by partition in order; `from` by partition, left out: from the
 * beginning. Kind `invalid`, code NO_DEAD_LETTERS when there is no such topic.
 */
export async function* lettersOf(
  cluster: Cluster,
  pipeline: string,
  signal: AbortSignal,
  from: ReadonlyMap<number, number> | null = null,
): AsyncGenerator<Letter, void, void> {
  const topic = deadTopic(pipeline);
  const parts = from
    ? [...from].map(([partition, start]) => ({ partitions: [partition], from: start }))
    : [{ from: 'earliest' as const }];
  for (const part of parts) {
    for await (const record of recordsOf(cluster, topic, signal, part, noLetters(pipeline))) {
      const replay = fromReplayRecord(record);
      if (replay)
        yield { ...replay, record, id: deadLetterId(replay.letter), place: `${record.partition}-${record.offset}` };
    }
  }
}

/** What was sent to a replay topic before, as `replayKey`; empty when it is not there yet. */
export async function replayedBefore(cluster: Cluster, topic: string, signal: AbortSignal): Promise<Set<string>> {
  const found = new Set<string>();
  for await (const record of recordsOf(cluster, topic, signal, { from: 'earliest' }, null)) {
    const replay = fromReplayRecord(record);
    if (replay?.letter.replayOf) found.add(replayKey(replay.letter.replayOf, replay.letter));
  }
  return found;
}

/** Where the partitions of the dead-letter topic end; kind `invalid`, code NO_DEAD_LETTERS when there is no such topic. */
export async function endsOfDead(cluster: Cluster, pipeline: string): Promise<Map<number, number>> {
  const ends = await endsOf(cluster, deadTopic(pipeline));
  if (!ends) throw noLetters(pipeline);
  return ends;
}

/**
 * Waits until what is committed in a topic now can be read: until every older transaction in its partition has ended.
 * False when one has not in 15 s, or the signal is aborted.
 */
export async function settled(cluster: Cluster, topic: string, signal: AbortSignal): Promise<boolean> {
  const ends = await endsOf(cluster, topic);
  if (!ends) return true;
  const all = [...ends.keys()].map(partition => ({ topic, partition }));
  const giveUpAt = cluster.clock.now() + SETTLED_WITHIN_MS;
  while (!signal.aborted && cluster.clock.now() < giveUpAt) {
    const stable = await listOffsets(cluster, all, 'latest', 'read_committed');
    if (all.every(one => (stable.get(keyOf(one)) ?? 0) >= (ends.get(one.partition) ?? 0))) return true;
    await sleep(cluster.clock, POLL_MS, signal);
  }
  return false;
}

async function endsOf(cluster: Cluster, topic: string): Promise<Map<number, number> | null> {
  try {
    const { partitions } = await new TopicAdmin(cluster).describe(topic);
    return new Map(partitions.map(({ partition, endOffset }) => [partition, endOffset]));
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'UNKNOWN_TOPIC_OR_PARTITION') return null;
    throw error;
  }
}

/** The id is there for topics that were deleted and made anew: their offsets begin at 0 again. */
export const replayKey = (place: string, letter: DeadLetter): string => `${place} ${deadLetterId(letter)}`;

/**
 * Does anybody read in this group? One that has read before may be about to join, just after a start: that is waited for,
 * until `until` (of the cluster's clock) or until the signal is aborted.
 */
export async function isRead(cluster: Cluster, group: string, until: number, signal: AbortSignal): Promise<boolean> {
  const { groups } = new Admin(cluster);
  try {
    while ((await groups.describe(group)).members.length === 0) {
      if (cluster.clock.now() >= until || signal.aborted) return false;
      await sleep(cluster.clock, POLL_MS, signal);
    }
    return true;
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'GROUP_ID_NOT_FOUND') return false;
    throw error;
  }
}

/** Makes the topic with its one partition if it is missing. */
export async function ensureReplayTopic(cluster: Cluster, name: string): Promise<void> {
  try {
    await new Admin(cluster).topics.create({ name, partitions: 1 });
  } catch (error) {
    if (!(error instanceof BrokerError && error.code === 'TOPIC_ALREADY_EXISTS')) throw error;
  }
}

/** `missing`: what to throw when there is no such topic; null: it has no records. */
async function* recordsOf(
  cluster: Cluster,
  topic: string,
  signal: AbortSignal,
  part: { partitions?: number[]; from: number | 'earliest' },
  missing: Error | null,
): AsyncGenerator<ConsumedRecord, void, void> {
  try {
    for await (const records of consume(cluster, { topic, exitAtEnd: true, signal, ...part })) yield* records;
  } catch (error) {
    if (!(error instanceof BrokerError && error.code === 'UNKNOWN_TOPIC_OR_PARTITION')) throw error;
    if (missing) throw missing;
  }
}

function noLetters(pipeline: string): MillstreamError {
  const message = `there is no topic ${deadTopic(pipeline)}: no pipeline \`${pipeline}\` has run here`;
  return new MillstreamError('invalid', 'NO_DEAD_LETTERS', message, { help: '`millstream pipeline list` names them.' });
}
