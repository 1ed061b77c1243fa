import { expect, test } from 'vitest';
import { silentLogger } from '../../../core/base/logger.ts';
import { seededRandom } from '../../../core/base/random.ts';
import { readWhole } from '../../../core/log/log-files.ts';
import { openLocalLogStore } from '../../../core/log/local-log-store.ts';
import { FaultDisk } from './fault-disk.ts';
import { appendValues, CONFIG } from './harness.ts';
import { ManualClock } from './manual-clock.ts';

const big = { topic: 'big', topicId: '00112233445566778899aabbccddeeff', partition: 0 };
const brief = { topic: 'brief', topicId: 'ffeeddccbbaa99887766554433221100', partition: 0 };
const anew = { ...brief, topicId: '0123456789abcdef0123456789abcdef' };

test('a checkpoint of a log that was deleted leaves the one made anew by its name alone', async () => {
  const disk = new FaultDisk(seededRandom(1));
  const store = await openLocalLogStore({
    directory: '/data',
    disk,
    clock: new ManualClock(),
    logger: silentLogger,
    fsync: true,
    flushIntervalMs: 1000,
    cacheBytes: 0,
    preallocateBytes: 0,
    recoveryBytes: 6_000,
  });
  const observer = () => ({ restore: () => {}, batch: () => {}, snapshot: () => Buffer.from('state') });
  const log = await store.open(big, CONFIG, observer());
  const doomed = await store.open(brief, CONFIG, observer());
  await appendValues(doomed, ['x'.repeat(3_500)]).durable;

  // The checkpoint takes the bigger log first, and is held up there while the other is deleted.
  const reached = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const syncDirectory = disk.syncDirectory.bind(disk);
  disk.syncDirectory = async path => {
    if (path === '/data/big-0') {
      reached.resolve();
      await goOn.promise;
    }
    await syncDirectory(path);
  };
  await appendValues(log, ['x'.repeat(5_000)]).durable;
  await reached.promise;
  await store.remove(brief);
  const again = await store.open(anew, CONFIG, observer());
  const before = await disk.list('/data/brief-0');
  goOn.resolve();
  for (let turns = 0; turns < 300; turns++) await disk.exists('/');
  expect(await disk.list('/data/brief-0')).toEqual(before);
  const points = String(await readWhole(disk, '/data/recovery-point-offset-checkpoint'));
  expect(points).toContain('big 0 1');
  expect(points).not.toContain('brief');
  expect(again.endOffset).toBe(0);
  await store.close();
});
