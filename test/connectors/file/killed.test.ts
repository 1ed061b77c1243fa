import { expect, it } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import { LineFile } from '../../../connectors/file/line-file.ts';
import { type DiskEvent, FaultDisk } from '../../core/log/fault-disk.ts';

/* A process was killed between a change in a folder and the sync of it; the next one finds the change, and then the
 * power goes. */

const LINE = 'a line\n';
const PATH = '/data/letters/1.ndjson';

/** Works until `path` has got its name, and not one step further. */
async function untilNamed(disk: FaultDisk, path: string, work: () => Promise<unknown>): Promise<void> {
  const named = new Promise<void>(resolve => {
    disk.onEvent = (event: DiskEvent, name: string) => event === 'name' && name === path && resolve();
  });
  void work();
  await named;
}

async function fileWithLine(disk: FaultDisk): Promise<LineFile> {
  const file = new LineFile(PATH, disk);
  await file.ready(null);
  await file.append(Buffer.from(LINE));
  return file;
}

const contentsOf = (disk: FaultDisk): string[] =>
  [...disk.contents('/data/letters').values()].map(bytes => Buffer.from(bytes).toString());

it.each([PATH, '/data/letters', '/data'])('a file stays that was found when only %s had its name', async path => {
  const disk = new FaultDisk(seededRandom(1));
  await untilNamed(disk, path, () => new LineFile(PATH, disk).ready(null));
  const next = disk.kill();
  await fileWithLine(next);
  expect(contentsOf(next.cut({ names: 'lost', data: 'lost' }))).toEqual([LINE]);
});

it('a file whose new name was found is not lost to the one that takes its old name', async () => {
  for (let seed = 0; seed < 20; seed++) {
    const disk = new FaultDisk(seededRandom(seed));
    const file = await fileWithLine(disk);
    await untilNamed(disk, '/data/letters/1.000001.ndjson', () => file.rotate());
    const next = disk.kill();
    await untilNamed(next, PATH, () => new LineFile(PATH, next).ready(null));
    expect(contentsOf(next.cut({ names: 'some', data: 'lost' }))).toContain(LINE);
  }
});
