import { MillstreamError } from '../../core/base/errors.ts';
import { BrokerError } from '../../core/client/broker-error.ts';
import type { Cluster } from '../../core/client/cluster.ts';
import { type CommittedOffset, commitOffsets, committedOffsets } from '../../core/client/group-offsets.ts';
import { listOffsets } from '../../core/client/list-offsets.ts';
import { keyOf } from '../../core/client/topic-partition.ts';
import { type OptionSpec, text, usageError, type Values } from './command.ts';

export const TO_OPTION: Record<string, OptionSpec> = {
  to: { type: 'string', help: 'where it goes on: earliest, latest or an offset (default: where it is)' },
};

/** `--to`, checked. */
export function toOf(values: Values): string | undefined {
  const to = text(values, 'to');
  if (to === undefined || to === 'earliest' || to === 'latest' || /^\d{1,15}$/.test(to)) return to;
  throw usageError(`--to takes earliest, latest or an offset, not "${to}"`);
}

export interface GroupReset {
  group: string;
  /** "the sink lake of orders" */
  who: string;
  /** How to stop it, as a sentence. */
  howToStop: string;
  to: string | undefined;
  /** Whether `to` is about positions in this topic. */
  moves(topic: string): boolean;
  /** The state that goes with the position. */
  stateOf(moved: Moved): string;
  /** Between the check that nobody runs and the commit. */
  before?: () => Promise<void>;
}

export type Moved = CommittedOffset & { before: number };

/** Every position of the group gets another state, and with `to` another offset. Kind `conflict`, code STILL_RUNS while the
 * group has a member. */
export async function resetGroup(cluster: Cluster, reset: GroupReset): Promise<Moved[]> {
  const { group, who, to } = reset;
  const known = [...(await committedOffsets(cluster, group, null)).values()];
  if (known.length === 0) {
    throw new MillstreamError('invalid', 'NO_POSITION', `${who} has no position yet`, {
      help: '`millstream group list` shows who has.',
    });
  }
  const moving = known.filter(({ topic }) => reset.moves(topic));
  const ends =
    to === 'earliest' || to === 'latest' ? await listOffsets(cluster, moving, to) : new Map<string, number>();
  const wanted = known.map((one): Moved => {
    const isMoving = to !== undefined && moving.includes(one);
    const moved = { ...one, before: one.offset, offset: isMoving ? (ends.get(keyOf(one)) ?? Number(to)) : one.offset };
    return { ...moved, metadata: reset.stateOf(moved) };
  });
  try {
    if (reset.before) {
      // Changes nothing, and is refused while somebody runs.
      await commitOffsets(cluster, group, null, known);
      await reset.before();
    }
    await commitOffsets(cluster, group, null, wanted);
  } catch (error) {
    if (!(error instanceof BrokerError) || error.code !== 'UNKNOWN_MEMBER_ID') throw error;
    throw new MillstreamError('conflict', 'STILL_RUNS', `${who} runs`, { help: reset.howToStop, cause: error });
  }
  return wanted;
}
