import { deepStrictEqual, strictEqual } from 'node:assert/strict';
import { seededRandom } from '../../core/base/random.ts';
import { Catalogue } from '../../core/broker/catalogue.ts';
import { FaultDisk } from '../core/log/fault-disk.ts';
import { TestBroker } from '../core/broker/harness.ts';
import { type Skips, untilNamed } from '../core/log/moments.ts';

/* Brokers that are killed while they make their first files: the next one finds these, and then the power goes. */

class Data {
  disk: FaultDisk;
  private readonly skips: Skips;

  constructor(seed: number, skips: Skips) {
    this.skips = skips;
    this.disk = this.with(new FaultDisk(seededRandom(seed)));
  }

  open(): Promise<TestBroker> {
    return TestBroker.open({ directory: '/data', disk: this.disk });
  }

  kill(): void {
    this.disk = this.with(this.disk.kill());
  }

  cut(): void {
    this.disk = this.with(this.disk.cut({ names: 'lost', data: 'lost' }));
  }

  private with(disk: FaultDisk): FaultDisk {
    disk.skipsSync = this.skips;
    return disk;
  }
}

const FOLDERS = ['/data', '/data/log', '/data/meta'];

/** What is acknowledged is there, though a folder on the way to it was found, not made. */
async function folders(seed: number, skips: Skips): Promise<void> {
  const data = new Data(seed, skips);
  void data.open();
  await untilNamed(data.disk, new RegExp(`^${FOLDERS[seed % 3]}$`), 1);
  data.kill();
  const { broker } = await data.open();
  const made = await broker.topics.create({ name: 'kept', partitions: 1 });
  data.cut();
  const after = await data.open();
  strictEqual(after.broker.topics.get('kept')?.id, made.id);
  deepStrictEqual(
    (await after.store.list('kept')).map(({ topicId }) => topicId),
    [made.id],
  );
  await after.close();
}

/** What a start has read in the catalogue is not forgotten by the next. */
async function catalogue(seed: number, skips: Skips): Promise<void> {
  const data = new Data(seed, skips);
  const first = await data.open();
  await first.broker.topics.create({ name: 'before', partitions: 1 });
  void first.broker.topics.create({ name: 'fresh', partitions: 1 });
  await untilNamed(data.disk, /\/catalogue\.json$/, 1);
  data.kill();
  const { id } = (await data.open()).broker.topics.require('fresh');
  data.cut();
  const third = await data.open();
  strictEqual(third.broker.topics.get('fresh')?.id, id);
  await third.close();
}

/** The same of a catalogue whose folder lies elsewhere than the logs. */
async function catalogueApart(seed: number, skips: Skips): Promise<void> {
  const data = new Data(seed, skips);
  const open = (): Promise<Catalogue> => Catalogue.open(data.disk, '/apart/meta', 'a cluster');
  void open();
  await untilNamed(data.disk, seed % 2 === 0 ? /^\/apart$/ : /^\/apart\/meta$/, 1);
  data.kill();
  const made = await open();
  made.nextProducerId = 7;
  await made.save();
  data.cut();
  strictEqual((await open()).nextProducerId, 7);
}

export const STEERED_STARTS: Record<string, (seed: number, skips: Skips) => Promise<void>> = {
  'steered: folders found': folders,
  'steered: catalogue found': catalogue,
  'steered: catalogue apart': catalogueApart,
};
