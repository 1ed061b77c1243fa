const MAX_SEQUENCE = 2147483647;

export interface SeenBatch {
  firstSequence: number;
  lastSequence: number;
  firstOffset: number;
  lastOffset: number;
}

export interface ProducerEntry {
  producerId: number;
  epoch: number;
  /** Oldest first; empty when only the epoch is known. */
  batches: SeenBatch[];
  /** Wall clock when it last wrote. */
  lastTimestamp: number;
  /** First offset of its open transaction; -1 when there is none. */
  openFrom: number;
  /** Of the last marker; -1 for none. */
  coordinatorEpoch: number;
}

/** Sequences run from 0 to 2^31 - 1 and then begin anew. */
export function addSequence(sequence: number, count: number): number {
  const sum = sequence + count;
  return sum > MAX_SEQUENCE ? sum - MAX_SEQUENCE - 1 : sum;
}

export function subtractSequence(sequence: number, count: number): number {
  const difference = sequence - count;
  return difference < 0 ? difference + MAX_SEQUENCE + 1 : difference;
}
