import { expect, it } from 'vitest';
import { ownBatches } from '../../../connectors/runtime/own-batches.ts';

const filled = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => i % 251);

it('batches that are a small part of what they were read into are copied, all into one piece', () => {
  const page = filled(1000);
  const kept = ownBatches([page.subarray(10, 200), page.subarray(200, 500)]);
  expect(kept.map(batch => [...batch])).toEqual([[...page.subarray(10, 200)], [...page.subarray(200, 500)]]);
  expect(new Set(kept.map(batch => batch.buffer)).size).toBe(1);
  expect(kept[0]?.buffer.byteLength).toBe(490);
});

it('batches that fill most of it stay where they are', () => {
  const pages = [filled(1000), filled(800)] as const;
  const batches = [pages[0].subarray(0, 900), pages[1]];
  expect(ownBatches(batches)).toBe(batches);
});

it('nothing is nothing', () => expect(ownBatches([])).toEqual([]));
