import { ok, strictEqual } from 'node:assert/strict';
import { seededRandom } from '../../core/base/random.ts';
import { DeployedModules } from '../../server/modules/deployed.ts';
import { placeOf } from '../../server/place.ts';
import { FaultDisk } from '../core/log/fault-disk.ts';
import { ManualClock } from '../core/log/manual-clock.ts';
import { settle, type Skips, untilNamed } from '../core/log/moments.ts';
import { PASSTHROUGH } from './sandbox.ts';

/* What the server itself keeps on disk: nothing of it is forgotten once it was said to be done. */

const LOST = { names: 'lost', data: 'lost' } as const;
/** Not there on the real disk, from which deployed modules are read. */
const MODULES = '/no/such/folder/modules';
const FOLDER = `${MODULES}/pass`;

function diskOf(seed: number, skips: Skips): FaultDisk {
  const disk = new FaultDisk(seededRandom(seed));
  disk.skipsSync = skips;
  return disk;
}

/** The first process is killed when `path` has its name, or some turns later. */
async function killedAt(disk: FaultDisk, path: string, work: () => Promise<unknown>, turns = 0): Promise<FaultDisk> {
  void work();
  await untilNamed(disk, new RegExp(`^${path}$`), 1);
  await settle(turns);
  const next = disk.kill();
  next.skipsSync = disk.skipsSync;
  return next;
}

/** A process has the same name after each start. */
async function place(seed: number, skips: Skips): Promise<void> {
  let disk = diskOf(seed, skips);
  const first = (): Promise<string> => placeOf(disk, seededRandom(1), '/data');
  const moments = ['/data', '/data/.millstream', '/data/.millstream/place'];
  const moment = moments[seed % 4];
  if (moment) disk = await killedAt(disk, moment, first, seed % 9);
  const known = await first();
  strictEqual(await placeOf(disk.cut(LOST), seededRandom(2), '/data'), known);
}

/** A module that was deployed is there; one that was removed is not. */
async function modules(seed: number, skips: Skips): Promise<void> {
  let disk = diskOf(seed, skips);
  const options = (): ConstructorParameters<typeof DeployedModules>[0] => ({
    directory: MODULES,
    disk,
    clock: new ManualClock(),
    check: async () => {},
    activated: async () => {},
  });
  const about = { name: 'pass', version: null };
  const moment = [MODULES, FOLDER][seed % 3];
  const deploy = (): Promise<{ sha256: string }> => new DeployedModules(options()).deploy(PASSTHROUGH.bytes, about);
  if (moment) disk = await killedAt(disk, moment, deploy);
  const deployed = new DeployedModules(options());
  const { sha256 } = await deployed.deploy(PASSTHROUGH.bytes, about);
  if (seed % 2 === 0) await deployed.remove('pass', null);
  const left = disk.cut(LOST).contents(FOLDER);
  if (seed % 2 === 0) return ok(!left.has('versions.json'), 'a module that was removed is back');
  ok(Buffer.from(left.get('versions.json') ?? []).includes(sha256), 'a module that was deployed is gone');
  ok(Buffer.from(PASSTHROUGH.bytes).equals(left.get(`${sha256}.wasm`) ?? Buffer.alloc(0)), 'it has lost its bytes');
}

/** What tells of a version is not there before its bytes. */
async function moduleBytes(seed: number, skips: Skips): Promise<void> {
  const disk = diskOf(seed, skips);
  const options = {
    directory: MODULES,
    disk,
    clock: new ManualClock(),
    check: async () => {},
    activated: async () => {},
  };
  void new DeployedModules(options).deploy(PASSTHROUGH.bytes, { name: 'pass', version: null });
  await untilNamed(disk, /\/versions\.json$/, 1);
  const left = disk.cut({ names: 'some', data: 'lost' }).contents(FOLDER);
  if (left.has('versions.json'))
    ok(
      [...left.keys()].some(name => name.endsWith('.wasm')),
      'a version has no bytes',
    );
}

export const STEERED_SERVER: Record<string, (seed: number, skips: Skips) => Promise<void>> = {
  'steered: place': place,
  'steered: modules': modules,
  'steered: module bytes': moduleBytes,
};
