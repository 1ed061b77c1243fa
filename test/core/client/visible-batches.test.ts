import { expect, test } from 'vitest';
import { visibleBatches } from '../../../core/client/visible-batches.ts';
import { ATTRIBUTE } from '../../../core/log/batch.ts';
import { encodeBatch, readRecords } from '../../../core/log/record.ts';

function data(baseOffset: number, values: string[], producerId = -1): Uint8Array {
  const records = values.map(value => ({ timestamp: 1, key: null, value: Buffer.from(value) }));
  const attributes = producerId >= 0 ? ATTRIBUTE.transactional : 0;
  return encodeBatch(records, { baseOffset, attributes, producerId, producerEpoch: 0, baseSequence: 0 });
}

function marker(baseOffset: number, producerId: number, type: 'abort' | 'commit'): Uint8Array {
  const key = Buffer.from([0, 0, 0, type === 'abort' ? 0 : 1]);
  const attributes = ATTRIBUTE.transactional | ATTRIBUTE.control;
  return encodeBatch([{ timestamp: 1, key, value: Buffer.alloc(6) }], {
    baseOffset,
    attributes,
    producerId,
    producerEpoch: 0,
  });
}

function read(batches: Uint8Array[], from = 0, aborted: { producerId: number; firstOffset: number }[] = []): object {
  const { batches: visible, next } = visibleBatches(Buffer.concat(batches), from, aborted);
  return { values: visible.flatMap(one => readRecords(one.bytes).map(record => String(record.value))), next };
}

test('control batches are hidden, and the position moves past them', () => {
  expect(read([data(0, ['a'], 7), marker(1, 7, 'commit')])).toEqual({ values: ['a'], next: 2 });
});

test('two aborted transactions of one producer in one answer are both hidden, the committed one between them is not', () => {
  const log = [
    data(0, ['no'], 7),
    marker(1, 7, 'abort'),
    data(2, ['yes'], 7),
    marker(3, 7, 'commit'),
    data(4, ['never'], 7),
    marker(5, 7, 'abort'),
    data(6, ['after'], 7),
  ];
  const aborted = [
    { producerId: 7, firstOffset: 4 },
    { producerId: 7, firstOffset: 0 },
  ];
  expect(read(log, 0, aborted)).toEqual({ values: ['yes', 'after'], next: 7 });
});

test('an aborted transaction that began before this answer is hidden from its first batch on', () => {
  const log = [data(10, ['no'], 7), data(11, ['other'], 8), data(12, ['plain'])];
  expect(read(log, 10, [{ producerId: 7, firstOffset: 3 }])).toEqual({ values: ['other', 'plain'], next: 13 });
});

test('a plain batch of an aborted producer is not part of the transaction', () => {
  expect(read([data(0, ['plain'])], 0, [{ producerId: -1, firstOffset: 0 }])).toEqual({ values: ['plain'], next: 1 });
});

test('a batch that ends before the position is skipped, one that contains it is kept whole', () => {
  expect(read([data(0, ['a', 'b']), data(2, ['c', 'd'])], 3)).toEqual({ values: ['c', 'd'], next: 4 });
});

test('a batch cut off at the end is left for the next answer', () => {
  const second = data(1, ['b']);
  expect(read([data(0, ['a']), second.subarray(0, second.length - 1)])).toEqual({ values: ['a'], next: 1 });
  expect(read([second.subarray(0, 30)], 1)).toEqual({ values: [], next: 1 });
});
