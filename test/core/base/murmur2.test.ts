import { expect, test } from 'vitest';
import { murmur2, partitionFor } from '../../../core/base/murmur2.ts';

const KNOWN = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
] as const;

test.each(KNOWN)("the hash of %j is the one of Kafka's Java client", (text, hash) => {
  expect(murmur2(Buffer.from(text))).toBe(hash);
});

test('a key with a negative hash goes to a partition that exists', () => {
  expect(partitionFor(Buffer.from('foobar'), 24)).toBe((-790332482 & 0x7fffffff) % 24);
});

test('an empty key has a hash and a partition', () => {
  expect(partitionFor(new Uint8Array(0), 7)).toBe((murmur2(new Uint8Array(0)) & 0x7fffffff) % 7);
});
