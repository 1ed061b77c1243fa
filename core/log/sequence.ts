const MAX_SEQUENCE = 0x7fffffff;

/** Sequence numbers of producers wrap from 2^31 - 1 to 0 (KIP-98). */
export function addSequence(sequence: number, count: number): number {
  const sum = sequence + count;
  return sum > MAX_SEQUENCE ? sum - MAX_SEQUENCE - 1 : sum;
}

export function subtractSequence(sequence: number, count: number): number {
  const difference = sequence - count;
  return difference < 0 ? difference + MAX_SEQUENCE + 1 : difference;
}
