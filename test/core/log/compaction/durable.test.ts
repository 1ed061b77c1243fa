import { expect, test } from 'vitest';
import { seededRandom } from '../../../../core/base/random.ts';
import { FaultDisk } from '../fault-disk.ts';
import { LogOfKeys } from './log-of-keys.ts';

/** As many as make indexes of several sectors. */
const BATCHES = 110;

test('the indexes of a compacted segment are as durable as its records', async () => {
  for (let seed = 0; seed < 12; seed++) {
    const log = new LogOfKeys({ cacheBytes: 0 }, 500_000);
    log.disk = new FaultDisk(seededRandom(seed));
    await log.open();
    const times: number[] = [];
    for (let i = 0; i < BATCHES; i++) {
      times.push(log.clock.now());
      // Each key but the last comes twice, and goes once.
      log.append([
        [`k${i >> 1}`, 'x'.repeat(4_100)],
        [`own${i}`, 'y'],
      ]);
      log.clock.advance(10);
    }
    await log.roll();
    expect(await log.compact()).not.toBeNull();
    log.disk = log.disk.cut();
    await log.open();
    const found = await Promise.all(times.map(time => log.log.offsetForTimestamp(time)));
    expect(found.map(record => record?.timestamp)).toEqual(times);
    await log.store.close();
  }
});
