import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { nodeDisk } from '../../../core/base/node-disk.ts';
import type { Lease } from '../../../core/engine/engine.ts';
import { seededRandom } from '../../../core/base/random.ts';
import { RefusedFile } from '../../../server/subscriber/dead-letters.ts';
import { FaultDisk } from '../../core/log/fault-disk.ts';
import { ManualClock } from '../../core/log/manual-clock.ts';

const folder = mkdtempSync(join(tmpdir(), 'refused-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const lease = { topic: 'events', topicId: 'a'.repeat(32), partition: 3 } as Lease;
const name = { pipeline: 'bigquery-subscriber', name: 'events-d-t' };
const refusedAt = (offset: number) => ({
  record: { offset, timestamp: 5, key: Buffer.from('k'), value: Buffer.from('{"n":"x"}'), headers: [] },
  code: 'INVALID',
  reason: 'Cannot convert value to integer',
});

test('a refused row is a line with its reason and its bytes', async () => {
  const path = join(folder, 'sub/events.ndjson');
  const file = new RefusedFile(path, name, nodeDisk, new ManualClock());
  await Promise.all([file.keep(lease, [refusedAt(1), refusedAt(2)]), file.keep(lease, [refusedAt(9)])]);
  await file.close();
  const again = new RefusedFile(path, name, nodeDisk, new ManualClock());
  await again.keep(lease, [refusedAt(10)]);
  await again.close();
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  const letters = lines.map(line => JSON.parse(line) as Record<string, unknown>);
  expect(letters.map(letter => (letter['source'] as { offset: number }).offset)).toEqual([1, 2, 9, 10]);
  expect(letters[0]).toMatchObject({
    id: `bigquery-subscriber/events-d-t/${lease.topicId}-3-1`,
    code: 'INVALID',
    reason: 'Cannot convert value to integer',
    source: { topic: 'events', partition: 3, offset: 1 },
    value_b64: Buffer.from('{"n":"x"}').toString('base64'),
  });
});

test('a disk that refuses is waited out: the error can be tried again, and nothing is there twice', async () => {
  const disk = new FaultDisk(seededRandom(1));
  await disk.makeDirectory('/');
  const file = new RefusedFile('/out/events.ndjson', name, disk, new ManualClock());
  await file.keep(lease, [refusedAt(1)]);
  disk.leaveRoom(100);
  await expect(file.keep(lease, [refusedAt(2)])).rejects.toMatchObject({ kind: 'unavailable', retriable: true });
  disk.leaveRoom(Number.POSITIVE_INFINITY);
  await file.keep(lease, [refusedAt(2)]);
  const read = await disk.open('/out/events.ndjson', 'read');
  const bytes = new Uint8Array(await read.size());
  await read.read(bytes, 0);
  const lines = Buffer.from(bytes).toString().trim().split('\n');
  expect(lines.map(line => (JSON.parse(line) as { source: { offset: number } }).source.offset)).toEqual([1, 2]);
});
