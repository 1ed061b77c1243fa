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
