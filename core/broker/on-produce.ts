import { MillstreamError } from '../base/errors.ts';
import { type BatchHeader, readBatchHeader } from '../log/batch.ts';
import { refused } from './kafka-error.ts';
import type { Partition } from './partition.ts';
import type { Topic } from './topics.ts';
import { checkKeys, checkSize } from './validate-batches.ts';

/** A record that is the reason why its batch is not stored: its index in the batch. */
export interface RefusedRecord {
  index: number;
  reason: string;
}

/** What modules have made of one produced batch. */
export type Screened =
  /** To be stored. Of the batch as it came it has the producer's id, epoch and sequences, the codec, the base timestamp
   * and the last offset delta; its records are at the places that they had, and some, or all, may be missing. */
  | { batch: Uint8Array }
  /** Not to be stored. `isCorrupt`: it cannot be read. */
  | { refused: readonly RefusedRecord[]; isCorrupt: boolean };

/** Modules that records pass before they are stored. */
export interface OnProduce {
  /** Do this topic's records pass any? */
  concerns(topic: string): boolean;
  /**
   * One whole batch that `validateBatches` has accepted; it is only looked at. Several may be under way for one partition:
   * whoever calls keeps their order. Rejects when the modules cannot run.
   */
  screen(topic: { name: string; id: string }, partition: number, batch: Uint8Array): Promise<Screened>;
}

/** No topic has modules. */
export const NO_MODULES: OnProduce = {
  concerns: () => false,
  screen: async (_topic, _partition, batch) => ({ batch }),
};

/** The answer to a producer whose records a module refused (KIP-467). Kind `invalid`, INVALID_RECORD or CORRUPT_MESSAGE. */
export class RecordsRefused extends MillstreamError {
  readonly records: readonly RefusedRecord[];

  constructor({ refused: records, isCorrupt }: Extract<Screened, { refused: unknown }>) {
    const [first] = records;
    const more = records.length > 1 ? ` and ${records.length - 1} more` : '';
    const message = isCorrupt
      ? `The batch cannot be read: ${first?.reason}`
      : `A module of the topic refused record ${first?.index} of the batch${more}: ${first?.reason}`;
    super('invalid', isCorrupt ? 'CORRUPT_MESSAGE' : 'INVALID_RECORD', message);
    this.records = records;
  }
}

/** All batches of one append, as they are to be stored. Rejects with RecordsRefused, or MESSAGE_TOO_LARGE or
 * INVALID_RECORD when what a module gave does not fit the topic. */
export async function screenBatches(
  modules: OnProduce,
  topic: Topic,
  partition: Partition,
  bytes: Uint8Array,
  headers: readonly BatchHeader[],
): Promise<{ bytes: Uint8Array; headers: BatchHeader[] }> {
  let at = 0;
  const screening = headers.map(({ sizeBytes }) => {
    at += sizeBytes;
    return modules.screen(topic, partition.index, bytes.subarray(at - sizeBytes, at));
  });
  const batches = (await Promise.all(screening)).map(screened => {
    if ('refused' in screened) throw new RecordsRefused(screened);
    const header = readBatchHeader(screened.batch);
    checkSize(header, topic.settings);
    if (topic.settings.compacted) checkKeys(screened.batch, header);
    return { header, batch: screened.batch };
  });
  const [only] = batches;
  if (!only) throw refused('INVALID_RECORD', 'There is no batch.');
  const stored = batches.length === 1 ? only.batch : Buffer.concat(batches.map(({ batch }) => batch));
  return { bytes: stored, headers: batches.map(({ header }) => header) };
}
