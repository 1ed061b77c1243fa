import { expect, test } from 'vitest';
import { threadRunner } from '../../server/compaction-runner.ts';
import { LogOfKeys } from '../core/log/compaction/log-of-keys.ts';

test('compaction on a thread leaves what compaction on this thread leaves', async () => {
  const [there, here] = await Promise.all([
    new LogOfKeys({ compactionRunner: threadRunner, compactionBytes: 1 }, 20_000).open(),
    new LogOfKeys({ compactionBytes: 1 }, 20_000).open(),
  ]);
  for (const log of [there, here]) {
    for (let i = 0; i < 300; i++) {
      const pairs = Array.from({ length: 5 }, (_, j) => [`k${(i * 5 + j) % 900}`, `v${i}`] as const);
      await log.append(pairs, { codec: i % 2 === 0 ? 'zstd' : 'none' }).durable;
    }
    await log.roll();
  }
  expect(await there.compact()).toEqual(await here.compact());
  const left = await here.pairs();
  expect(left).toHaveLength(900);
  expect(await there.pairs()).toEqual(left);
});

test('a damaged batch ends the compaction with its reason, and nothing is changed', async () => {
  const log = await new LogOfKeys({ compactionRunner: threadRunner, cacheBytes: 0 }).open();
  for (let i = 0; i < 40; i++) await log.append([[`k${i % 2}`, `v${i}`]]).durable;
  await log.roll();
  const file = await log.disk.open('/data/log/orders-0/00000000000000000000.log', 'readwrite');
  await file.write([Buffer.from('x')], 70);
  await file.close();
  await expect(log.compact()).rejects.toThrow(/CRC/);
  expect((await log.disk.list('/data/log/orders-0')).filter(name => /cleaned|swap/.test(name))).toEqual([]);
});
