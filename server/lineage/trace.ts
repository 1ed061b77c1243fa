import { MillstreamError } from '../../core/base/errors.ts';
import type { EngineHost } from '../../core/engine/host.ts';
import type { PipelinePlan } from '../../etl/definition/plan.ts';
import { originsBefore } from './backward.ts';
import { onwardFrom } from './forward.ts';
import type { Place, Trace } from './trace-types.ts';
import { recordAt } from './walk.ts';

/** What one trace reads at most, in all its searches; one search takes some tens of reads of 0.5 MiB. */
const MOST_BYTES = 1024 * 1024 * 1024;
const KEY_CHARACTERS = 200;

/**
 * Where a record comes from and what became of it, out of the markers in the log and the committed positions alone. Kind
 * `invalid`: UNKNOWN_TOPIC, UNKNOWN_PARTITION, NO_RECORD; `unavailable`: SCAN_TOO_LONG.
 */
export async function trace(host: EngineHost, plans: readonly PipelinePlan[], place: Place): Promise<Trace> {
  const { topic, partition, offset } = place;
  if (!host.topicInfo(topic)) {
    throw new MillstreamError('invalid', 'UNKNOWN_TOPIC', `there is no topic \`${topic}\``);
  }
  const log = host.partitionLog(topic, partition);
  if (!log)
    throw new MillstreamError('invalid', 'UNKNOWN_PARTITION', `topic \`${topic}\` has no partition ${partition}`);
  const found = await recordAt(log, offset);
  if (!found) {
    const message = `there is no record at ${topic}/${partition}@${offset}`;
    const help =
      offset < log.startOffset || offset >= log.highWatermark
        ? `the partition holds offsets ${log.startOffset} to ${log.highWatermark - 1}`
        : 'a transaction ends here, or compaction removed it: the next offset may hold a record';
    throw new MillstreamError('invalid', 'NO_RECORD', message, { help });
  }
  const budget = { bytes: MOST_BYTES };
  const { key, timestamp } = found.record;
  return {
    ...place,
    timestamp,
    key: key && Buffer.from(key).toString().slice(0, KEY_CHARACTERS),
    backward: await originsBefore(host, place, budget),
    forward: await onwardFrom({ host, plans, budget }, place),
  };
}
