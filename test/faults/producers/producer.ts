/**
 * A producer that goes on while the server is killed and comes back. Its records are numbered: the n-th record of a
 * partition has the value `n` as decimal text, padded.
 */
export interface Producer {
  name: string;
  topic: string;
  partitions: number;
  /** Per partition: every number below this one is acked. */
  acked: number[];
  /**
   * Numbers per partition whose fate the client does not know, because it gave up on them. They may be in the log once
   * or not at all; every other number must be there.
   */
  unknown: Set<number>[];
  /** A broken promise that the producer itself saw, for example a lost sequence. */
  violation: string | undefined;
  /** Waits for the acks of everything sent, and ends. */
  finish(): Promise<void>;
}

/** Text of a record: its number and some padding, so that batches are not tiny. */
export const valueOf = (n: number): string => `${n}`.padEnd(64, '.');
export const numberOf = (value: Buffer): number => Number.parseInt(value.toString('latin1'), 10);
