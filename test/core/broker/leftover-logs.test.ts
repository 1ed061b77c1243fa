import { expect, test } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import { FaultDisk } from '../log/fault-disk.ts';
import { TestBroker } from './harness.ts';

/** A topic whose making failed half way is forgotten by the catalogue, and a log of it may be left. */
async function leaveLogs(disk: FaultDisk): Promise<string> {
  const before = await TestBroker.open({ directory: '/data', disk });
  await before.broker.topics.create({ name: 'kept', partitions: 1 });
  const left = await before.broker.topics.create({ name: 'left', partitions: 2 });
  await before.close();
  const file = await disk.open('/data/meta/catalogue.json', 'readwrite');
  const bytes = Buffer.alloc(await file.size());
  await file.read(bytes, 0);
  const catalogue = JSON.parse(bytes.toString()) as { topics: { name: string }[] };
  expect(catalogue.topics.map(({ name }) => name)).toContain('left');
  catalogue.topics = catalogue.topics.filter(({ name }) => name !== 'left');
  const text = Buffer.from(JSON.stringify(catalogue));
  await file.truncate(0);
  await file.write([text], 0);
  await file.close();
  return left.id;
}

test('a log that nobody knows does not stand in the way of a topic by its name', async () => {
  const disk = new FaultDisk(seededRandom(1));
  const left = await leaveLogs(disk);
  const after = await TestBroker.open({ directory: '/data', disk });
  const made = await after.broker.topics.create({ name: 'left', partitions: 2 });
  expect(made.id).not.toBe(left);
  expect(made.partitions.map(({ log }) => log.endOffset)).toEqual([0, 0]);
  await after.close();
});

test('a kill at any time while a topic takes the place of such logs leaves a broker that starts', async () => {
  for (let turn = 0; turn < 60; turn++) {
    const disk = new FaultDisk(seededRandom(turn));
    await leaveLogs(disk);
    const before = await TestBroker.open({ directory: '/data', disk });
    void before.broker.topics.create({ name: 'left', partitions: 2 });
    for (let left = turn; left > 0; left--) await new Promise(resolve => setImmediate(resolve));
    const after = await TestBroker.open({ directory: '/data', disk: disk.kill() });
    const made = await after.broker.topics.ensure({ name: 'left', partitions: 2 });
    expect(made.partitions.map(({ log }) => log.endOffset)).toEqual([0, 0]);
    await after.close();
  }
});
