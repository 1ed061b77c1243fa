/**
 * A producer that goes on while the server is killed and comes back. Its records are numbered: the n-th record of a
 * partition has the value `valueOf(n)`. Arrays go by its own partitions, of which the first is `firstPartition`.
 */
export interface Producer {
  name: string;
  topic: string;
  firstPartition: number;
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

/**
 * Text of a record: a report with its number, and something for each way that a pipeline may send it: some are no JSON,
 * some have damage that nobody knows, some are severe. python/producer.py writes the same.
 */
export function valueOf(n: number): string {
  if (n % 50 === 7) return `{"n":${n},`;
  const damage = n % 50 === 13 ? '?' : n % 10 === 3 ? 'Substantial' : 'None';
  return `{"n":${n},"damage":"${damage}","reporter":{"name":"Ada ${n}"}}`;
}

export const numberOf = (value: Buffer): number => Number.parseInt(value.toString('latin1', '{"n":'.length), 10);
