import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../../core/base/clock.ts';
import { ProducerState } from '../../../core/broker/producer-state.ts';
import { committedBatches } from '../../../core/log/committed-batches.ts';
import type { LogStore, PartitionLog } from '../../../core/log/log.ts';
import { encodeMarker, readMarker } from '../../../core/log/marker.ts';
import { readBatchHeader } from '../../../core/log/batch.ts';
import { readRecords } from '../../../core/log/record.ts';
import { appendValues, CONFIG, headersOf, ID, openStore, temporaryDirectory } from './harness.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let store: LogStore;
let log: PartitionLog;
let sequence: Map<number, number>;
const config = { ...CONFIG, segmentBytes: 1000 };

beforeEach(async () => {
  directory = await temporaryDirectory();
  sequence = new Map();
  await open();
});
afterEach(async () => {
  await store.close();
  await directory.cleanUp();
});

async function open(): Promise<void> {
  store = await openStore(directory.path);
  log = await store.open(ID, config, new ProducerState(systemClock));
}

function write(producerId: number, value: string): Promise<void> {
  const baseSequence = sequence.get(producerId) ?? 0;
  sequence.set(producerId, baseSequence + 1);
  return appendValues(log, [value], { producerId, producerEpoch: 0, baseSequence, attributes: 0x10 }).durable;
}

function end(producerId: number, kind: 'commit' | 'abort'): Promise<void> {
  const batch = encodeMarker({ kind, coordinatorEpoch: 3, producerId, producerEpoch: 0, timestamp: 1 });
  return log.append(batch, headersOf(batch)).durable;
}

/** What a reader of committed records sees, reading in small steps. */
async function committed(): Promise<string[]> {
  const values: string[] = [];
  for (let offset = log.startOffset; offset < log.lastStableOffset; ) {
    const { batches, nextOffset } = await log.read(offset, 150, log.lastStableOffset);
    for (const batch of committedBatches(batches, log.abortedWithin(offset, nextOffset))) {
      values.push(...readRecords(batch).map(({ value }) => Buffer.from(value ?? []).toString()));
    }
    offset = nextOffset;
  }
  return values;
}

/** Transactions of three producers, one of them over many segments; every third is aborted. */
async function fill(): Promise<string[]> {
  const kept: string[] = [];
  await write(99, 'long, aborted at last');
  for (let i = 0; i < 60; i++) {
    const producerId = i % 3;
    const aborted = i % 5 === 0;
    for (const part of ['a', 'b']) {
      await write(producerId, `${i}${part}`);
      if (!aborted) kept.push(`${i}${part}`);
    }
    await end(producerId, aborted ? 'abort' : 'commit');
  }
  await end(99, 'abort');
  return kept;
}

test('a marker says what it is, and a batch of data is none', () => {
  const batch = encodeMarker({ kind: 'commit', coordinatorEpoch: 3, producerId: 7, producerEpoch: 2, timestamp: 5 });
  expect(readMarker(batch, 0, readBatchHeader(batch))).toEqual({ kind: 'commit', coordinatorEpoch: 3 });
  const [{ key, value } = { key: null, value: null }] = readRecords(batch);
  expect(Buffer.from(key ?? []).toString('hex')).toBe('00000001');
  expect(Buffer.from(value ?? []).toString('hex')).toBe('000000000003');
});

test('aborted records of many segments stay hidden: at once, after a stop, after a crash', async () => {
  const kept = await fill();
  expect(await committed()).toEqual(kept);
  await store.close();
  await open();
  expect(await committed()).toEqual(kept);
  await write(5, 'aborted after the stop');
  await end(5, 'abort');
  // As after kill -9: a second store looks at what the first one wrote.
  const crashed = store;
  await open();
  expect(await committed()).toEqual(kept);
  await crashed.close();
});

test('the last stable offset is where the oldest open transaction begins, also after a restart', async () => {
  await write(1, 'first');
  await write(2, 'second');
  expect([log.lastStableOffset, log.highWatermark]).toEqual([0, 2]);
  await end(1, 'commit');
  expect(log.lastStableOffset).toBe(1);
  await store.close();
  await open();
  expect([log.lastStableOffset, log.firstOpenOffset]).toEqual([1, 1]);
  let told = 0;
  const stop = log.onStableAdvance(() => told++);
  const ended = end(2, 'abort');
  expect([log.lastStableOffset, told]).toEqual([3, 1]);
  await ended;
  stop();
  expect(log.lastStableOffset).toBe(4);
});

test('entries lie as Kafka writes them, and a damaged file is made again from the batches', async () => {
  const kept = await fill();
  await store.close();
  const folder = join(directory.path, 'orders-0');
  const [first = ''] = (await readdir(folder)).filter(name => name.endsWith('.txnindex')).toSorted();
  const bytes = await readFile(join(folder, first));
  // version 0, producer 0, first offset 1, marker at 3, last stable offset 0: the long one is still open.
  expect(bytes.subarray(0, 34).toString('hex')).toBe(
    ['0000', '0000000000000000', '0000000000000001', '0000000000000003', '0000000000000000'].join(''),
  );
  await writeFile(join(folder, first), bytes.fill(0xff, 0, 20));
  await open();
  expect(await committed()).toEqual(kept);
});

test('what retention removed is forgotten', async () => {
  const kept = await fill();
  const from = Math.floor(log.endOffset / 2);
  await log.deleteBefore(from);
  const left = await committed();
  expect(kept.slice(-left.length)).toEqual(left);
  await store.close();
  const names = await readdir(join(directory.path, 'orders-0'));
  const bases = (suffix: string): number[] => names.filter(n => n.endsWith(suffix)).map(n => Number.parseInt(n, 10));
  expect(Math.min(...bases('.txnindex'))).toBeGreaterThanOrEqual(Math.min(...bases('.log')));
  await open();
  expect(await committed()).toEqual(left);
});

test('aborted transactions are listed in the order in which they began, as kafkajs needs them', async () => {
  await write(1, 'began first, ends last');
  await write(2, 'in between');
  await end(2, 'abort');
  await end(1, 'abort');
  const listed = log.abortedWithin(0, log.endOffset).map(({ producerId, firstOffset }) => [producerId, firstOffset]);
  expect(listed).toEqual([
    [1, 0],
    [2, 1],
  ]);
});
