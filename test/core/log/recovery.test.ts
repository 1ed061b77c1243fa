import { open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Disk } from '../../../core/base/disk.ts';
import { nodeDisk } from '../../../core/base/node-disk.ts';
import type { BatchHeader } from '../../../core/log/batch.ts';
import type { LogObserver, LogStore, PartitionLog } from '../../../core/log/log.ts';
import { appendValues, batchOf, CONFIG, ID, openStore, readValues, temporaryDirectory } from './harness.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let folder: string;
const config = { ...CONFIG, segmentBytes: 20_000 };

beforeEach(async () => {
  directory = await temporaryDirectory();
  folder = join(directory.path, 'orders-0');
});
afterEach(() => directory.cleanUp());

const valueOf = (i: number): string => `${i}`.padEnd(500, '.');
const values = (count: number): string[] => Array.from({ length: count }, (_, i) => valueOf(i));

async function fill(log: PartitionLog, from: number, to: number): Promise<void> {
  let last: Promise<void> = Promise.resolve();
  for (let i = from; i < to; i++) last = appendValues(log, [valueOf(i)], { timestamp: 1_000_000 + i }).durable;
  await last;
}

/** 100 records in several segments, closed or (as after kill -9) left as they are. */
async function written(how: 'closed' | 'left'): Promise<void> {
  const store = await openStore(directory.path);
  await fill(await store.open(ID, config), 0, 100);
  if (how === 'closed') await store.close();
  else await segmentsSealed();
}

/** Waits until the background has put rolled segments in order. */
async function segmentsSealed(): Promise<void> {
  for (;;) {
    const names = await readdir(folder);
    const logs = names.filter(name => name.endsWith('.log')).length;
    const sealed = names.filter(name => name.endsWith('.timeindex')).length;
    const points = await readFile(join(directory.path, 'recovery-point-offset-checkpoint'), 'utf8').catch(() => '');
    if (sealed === logs - 1 && points.includes(`orders 0 ${await lastBase()}`)) return;
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

async function logFiles(): Promise<string[]> {
  return (await readdir(folder)).filter(name => name.endsWith('.log')).toSorted();
}

async function lastBase(): Promise<number> {
  return Number.parseInt((await logFiles()).at(-1) ?? '', 10);
}

async function damage(path: string, position: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, position);
  await file.close();
}

test('a torn last batch is cut off, and what comes next takes its offset', async () => {
  await written('left');
  const last = join(folder, (await logFiles()).at(-1) ?? '');
  const size = batchOf([valueOf(1)]).length;
  await damage(last, size * 2 + 200, Buffer.from('torn'));
  const base = await lastBase();
  const store = await openStore(directory.path);
  const log = await store.open(ID, config);
  expect(log.endOffset).toBe(base + 2);
  expect(log.endOffsetForEpoch(0)).toEqual({ epoch: 0, endOffset: base + 2 });
  expect((await stat(last)).size).toBe(size * 2);
  await fill(log, base + 2, 120);
  expect(await readValues(log)).toEqual(values(120));
  await store.close();
});

test('a batch whose offset does not follow is cut off', async () => {
  await written('left');
  const last = join(folder, (await logFiles()).at(-1) ?? '');
  const size = batchOf([valueOf(1)]).length;
  // The offset is not under the CRC: only its place in the order gives it away.
  await damage(last, size + 7, Buffer.from([0xff]));
  const store = await openStore(directory.path);
  expect((await store.open(ID, config)).endOffset).toBe((await lastBase()) + 1);
  await store.close();
});

test('lost, empty and misleading index files are made again', async () => {
  await written('closed');
  const [first, second, third] = await logFiles();
  const index = (name: string | undefined): string => join(folder, (name ?? '').replace('.log', '.index'));
  const before = await readFile(index(third));
  await rm(index(first));
  await truncate(index(second), 0);
  // In order and within the file, but not where batches begin.
  const lie = Buffer.alloc(16);
  [3, 4242, 5, 9999].forEach((word, i) => lie.writeInt32BE(word, i * 4));
  await writeFile(index(third), lie);
  await rm(index(third).replace('.index', '.timeindex'));
  const store = await openStore(directory.path, { cacheBytes: 0 });
  const log = await store.open(ID, config);
  expect(log.leaderEpoch).toBe(0);
  for (const offset of [0, 5, 17, 40, 44, 70, 80, 99]) expect((await readValues(log, offset))[0]).toBe(valueOf(offset));
  expect(await log.offsetForTimestamp(1_000_080)).toEqual({ offset: 80, timestamp: 1_000_080 });
  await store.close();
  expect(before.length).toBeGreaterThan(0);
});

test('an index of the last segment that leads astray does not lose its batches', async () => {
  const store = await openStore(directory.path);
  await fill(await store.open(ID, CONFIG), 0, 100);
  await store.close();
  const lie = Buffer.alloc(8);
  lie.writeInt32BE(60, 0);
  lie.writeInt32BE(31_000, 4);
  await writeFile(join(folder, '00000000000000000000.index'), lie);
  const again = await openStore(directory.path, { cacheBytes: 0 });
  const log = await again.open(ID, CONFIG);
  expect(await readValues(log)).toEqual(values(100));
  await again.close();
});

test('after a crash only what lies behind the recovery point is read', async () => {
  const store = await openStore(directory.path, { recoveryBytes: 40_000 });
  const log = await store.open(ID, { ...CONFIG, segmentBytes: 10_000_000 });
  for (let i = 0; i < 4000; i += 50) await fill(log, i, i + 50);
  let bytes = 0;
  const counting: Disk = {
    ...nodeDisk,
    async open(path, mode) {
      const file = await nodeDisk.open(path, mode);
      const read = file.read.bind(file);
      file.read = (target, position) => {
        if (path.endsWith('.log')) bytes += target.length;
        return read(target, position);
      };
      return file;
    },
  };
  const again = await openStore(directory.path, { disk: counting });
  const reopened = await again.open(ID, { ...CONFIG, segmentBytes: 10_000_000 });
  expect(reopened.endOffset).toBe(4000);
  expect(bytes).toBeLessThan(reopened.sizeBytes / 4);
  expect(await readValues(reopened)).toEqual(values(4000));
  await again.close();
  await store.close();
});

test('what one recovery has looked at is not looked at by the next', async () => {
  const store = await openStore(directory.path);
  await fill(await store.open(ID, CONFIG), 0, 2000);
  // A kill: the store is left as it is.
  const again = await openStore(directory.path, { recoveryBytes: 10_000 });
  const log = await again.open(ID, CONFIG);
  const point = `${ID.topic} ${ID.partition} ${log.endOffset}\n`;
  const file = join(directory.path, 'recovery-point-offset-checkpoint');
  await vi.waitFor(async () => expect(await readFile(file, 'utf8')).toContain(point), 10_000);
  await again.close();
  await store.close();
});

class Recorder implements LogObserver {
  restored: string | null = 'never';
  readonly seen: number[] = [];
  restore(snapshot: Uint8Array | null): void {
    const text = snapshot && Buffer.from(snapshot).toString();
    if (text !== null && !text.startsWith('up to ')) throw new Error('this is no snapshot of mine');
    this.restored = text;
  }
  batch(header: BatchHeader): void {
    this.seen.push(header.baseOffset);
  }
  snapshot(): Uint8Array {
    return Buffer.from(`up to ${this.seen.at(-1) ?? -1}`);
  }
}

async function observed(store: LogStore): Promise<{ log: PartitionLog; observer: Recorder }> {
  const observer = new Recorder();
  return { log: await store.open(ID, config, observer), observer };
}

test('the observer gets its newest state back, then every batch above it', async () => {
  const store = await openStore(directory.path);
  const { log, observer } = await observed(store);
  expect(observer.restored).toBeNull();
  await fill(log, 0, 100);
  await segmentsSealed();
  const base = await lastBase();
  const crashed = await observed(await openStore(directory.path));
  expect(crashed.observer.restored).toBe(`up to ${base - 1}`);
  expect(crashed.observer.seen).toEqual(Array.from({ length: 100 - base }, (_, i) => base + i));

  // The newest is damaged: the one before it, and more batches.
  const snapshots = (await readdir(folder)).filter(name => name.endsWith('.snapshot')).toSorted();
  expect(snapshots).toHaveLength(2);
  await writeFile(join(folder, snapshots[1] ?? ''), 'damaged');
  const older = await observed(await openStore(directory.path));
  const from = Number.parseInt(snapshots[0] ?? '', 10);
  expect(older.observer.restored).toBe(`up to ${from - 1}`);
  expect(older.observer.seen).toEqual(Array.from({ length: 100 - from }, (_, i) => from + i));

  // None: all batches.
  for (const name of snapshots) await rm(join(folder, name));
  const without = await openStore(directory.path);
  const all = await observed(without);
  expect(all.observer.restored).toBeNull();
  expect(all.observer.seen).toHaveLength(100);
  await without.close();

  // After a clean stop nothing is left to replay.
  const clean = await openStore(directory.path);
  const { observer: last } = await observed(clean);
  expect([last.restored, last.seen]).toEqual(['up to 99', []]);
  await clean.close();
  await store.close();
});

test('a log of a topic that was made anew under the same name is not opened', async () => {
  await written('closed');
  const store = await openStore(directory.path);
  const other = { ...ID, topicId: 'ffeeddccbbaa99887766554433221100' };
  await expect(store.open(other, config)).rejects.toMatchObject({ kind: 'conflict', code: 'TOPIC_ID_MISMATCH' });
  await store.remove(ID);
  expect(await store.list()).toEqual([]);
  const log = await store.open(other, config);
  expect([log.endOffset, log.leaderEpoch]).toEqual([0, 0]);
  await expect(store.open(other, config)).rejects.toMatchObject({ code: 'LOG_OPEN' });
  await store.close();
  expect((await readdir(directory.path)).filter(name => name.includes('orders'))).toEqual(['orders-0']);
});

test('removing a log that was stopped half way is finished at the next start', async () => {
  await written('closed');
  await nodeDisk.rename(folder, `${folder}.${ID.topicId}-delete`);
  const store = await openStore(directory.path);
  expect(await store.list()).toEqual([]);
  expect((await readdir(directory.path)).filter(name => name.includes('orders'))).toEqual([]);
  await store.close();
});
