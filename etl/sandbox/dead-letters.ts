import { DEAD_LETTER_PREFIX, toDeadRecord } from '../../core/engine/dead-letter.ts';
import { encodeBatch, readBody } from '../../core/engine/records.ts';
import type { Failure } from '../abi/guest.ts';
import type { Entry, FrameHelper, Table } from './frame-helper/frame-helper.ts';
import type { ChainMessage } from './messages.ts';
import type { TaskResult } from './sandbox.ts';

/** A record that a step refused; `entry` is the step's input. */
export interface Letter {
  step: number;
  entry: Entry;
  failure: Failure;
}

/** The finished batch for the dead-letter topic, in source order. */
export function deadBatch(
  helper: FrameHelper,
  source: Table,
  letters: Letter[],
  chain: ChainMessage,
  at: number,
): TaskResult['dead'] {
  if (letters.length === 0) return null;
  const bytes = helper.memory;
  const ordered = letters.toSorted((a, b) => a.entry.origin - b.entry.origin);
  const seen = new Map<string, number>();
  const records = ordered.map(({ step, entry, failure }) => {
    const { name, sha256 } = chain.steps[step] as ChainMessage['steps'][number];
    const origin = helper.entry(source, entry.origin);
    const record = readBody(bytes, origin.body, origin.body + origin.length);
    const key = `${entry.origin}/${step}`;
    const index = seen.get(key) ?? 0;
    seen.set(key, index + 1);
    const input = helper.bodyOf(entry);
    return toDeadRecord(
      { ...record, timestamp: origin.timestamp },
      {
        pipeline: chain.pipeline,
        stage: 'step',
        name,
        ...chain.source,
        offset: origin.offset,
        index,
        sha256,
        code: failure.code,
        reason: failure.reason,
        at,
        replays: replaysOf(record.headers),
        input: Buffer.compare(input, helper.bodyOf(origin)) === 0 ? null : input,
        inputTimestamp: entry.timestamp === origin.timestamp ? null : entry.timestamp,
      },
    );
  });
  return {
    batch: ownBuffer(encodeBatch(records)),
    letters: ordered.map(({ step, entry, failure }) => ({
      step: chain.steps[step]?.name ?? '',
      offset: entry.offset,
      code: failure.code,
      reason: failure.reason,
    })),
  };
}

function replaysOf(headers: readonly (readonly [string, Uint8Array | null])[]): number {
  const said = headers.findLast(([key]) => key === `${DEAD_LETTER_PREFIX}replays`)?.[1];
  const count = said ? Number(Buffer.from(said).toString()) : 0;
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/** A copy that can be transferred: small Buffers share one pool. */
function ownBuffer(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength === bytes.buffer.byteLength) return bytes;
  const own = Buffer.allocUnsafeSlow(bytes.length);
  own.set(bytes);
  return own;
}
