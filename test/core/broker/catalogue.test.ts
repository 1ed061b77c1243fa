import { expect, test } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import { Catalogue } from '../../../core/broker/catalogue.ts';
import { FaultDisk } from '../log/fault-disk.ts';

test('a topic that was stored survives a power cut, with the new folder that it was stored in', async () => {
  const disk = new FaultDisk(seededRandom(1));
  const catalogue = await Catalogue.open(disk, '/data/meta', 'cluster');
  catalogue.topics.set('orders', { name: 'orders', id: 'a'.repeat(32), partitions: 3, configs: {}, internal: false });
  await catalogue.save();
  const left = disk.cut({ names: 'lost', data: 'lost' });
  const again = await Catalogue.open(left, '/data/meta', 'another');
  expect(again.existed).toBe(true);
  expect(again.clusterId).toBe('cluster');
  expect(again.topics.get('orders')?.partitions).toBe(3);
});
