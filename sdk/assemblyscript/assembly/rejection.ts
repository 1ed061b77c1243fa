import { SLACK } from './arena';

/*
 * While JSON text is checked, a zero byte stands behind its last byte: no JSON has one outside a string, and in a string
 * it is a forbidden control character. So nothing walks past it, and no step has to compare with an end.
 */

let sealedAt: usize = 0;
let sealedByte: u8 = 0;
let rejectedAt: usize = 0;
let rejectedExpected: string = '';

/** Puts the zero byte at `end`. */
export function seal(end: usize): void {
  if (end + SLACK > (<usize>memory.size()) << 16 && memory.grow(1) < 0) unreachable();
  sealedAt = end;
  sealedByte = load<u8>(end);
  store<u8>(end, 0);
}

/** Puts back what was there. */
export function unseal(): void {
  store<u8>(sealedAt, sealedByte);
}

/** Where the last rejected text went wrong, and what should have stood there. */
export function rejectionAddress(): usize {
  return rejectedAt;
}
export function rejectionExpected(): string {
  return rejectedExpected;
}

export function reject(at: usize, expected: string): usize {
  rejectedAt = at;
  rejectedExpected = expected;
  return 0;
}
