import { deepStrictEqual, ok } from 'node:assert/strict';
import { seededRandom } from '../../core/base/random.ts';
import { LineFile } from '../../connectors/file/line-file.ts';
import { RefusedFile } from '../../server/subscriber/dead-letters.ts';
import { FaultDisk } from '../core/log/fault-disk.ts';
import { ManualClock } from '../core/log/manual-clock.ts';
import { type Skips, untilNamed } from '../core/log/moments.ts';

/*
 * Files of lines whose writer is killed between a change in a folder and the sync of it: the next process finds the
 * change and acts on it, and then the power goes.
 */

const LINE = 'a line\n';
const FOLDER = '/data/letters';
const PATH = `${FOLDER}/1.ndjson`;
const ROTATED = `${FOLDER}/1.000001.ndjson`;
const KILLED_AT = ['/data', FOLDER, PATH];

function diskOf(seed: number, skips: Skips): FaultDisk {
  const disk = new FaultDisk(seededRandom(seed));
  disk.skipsSync = skips;
  return disk;
}

function killed(disk: FaultDisk): FaultDisk {
  const next = disk.kill();
  next.skipsSync = disk.skipsSync;
  return next;
}

async function fileWithLine(disk: FaultDisk): Promise<LineFile> {
  const file = new LineFile(PATH, disk);
  await file.ready(null);
  await file.append(Buffer.from(LINE));
  return file;
}

const contentsOf = (disk: FaultDisk): string[] =>
  [...disk.contents(FOLDER).values()].map(bytes => Buffer.from(bytes).toString()).filter(text => text !== '');

/** A file stays that was found where a process had just made it, or one of its folders. */
async function found(seed: number, skips: Skips): Promise<void> {
  const disk = diskOf(seed, skips);
  void new LineFile(PATH, disk).ready(null);
  await untilNamed(disk, new RegExp(`^${KILLED_AT[seed % 3]}$`), 1);
  const next = killed(disk);
  await fileWithLine(next);
  deepStrictEqual(contentsOf(next.cut({ names: 'lost', data: 'lost' })), [LINE]);
}

/** A file that was rotated is not lost to the one that takes its name, be it in this process or the next. */
async function rotated(seed: number, skips: Skips): Promise<void> {
  let disk = diskOf(seed, skips);
  const file = await fileWithLine(disk);
  if (seed % 2 === 0) {
    void file.rotate();
    await untilNamed(disk, new RegExp(ROTATED), 1);
    disk = killed(disk);
    void new LineFile(PATH, disk).ready(null);
  } else void file.rotate().then(() => file.ready(null));
  await untilNamed(disk, new RegExp(PATH), 1);
  deepStrictEqual(contentsOf(disk.cut({ names: 'some', data: 'lost' })), [LINE]);
}

/** What was taken back does not come again with the file's new name, where nobody would cut it off. */
async function takenBack(seed: number, skips: Skips): Promise<void> {
  const disk = diskOf(seed, skips);
  const file = await fileWithLine(disk);
  const mark = await file.ready(null);
  await file.append(Buffer.from('not committed\n'));
  await file.cutTo(mark);
  await file.ready(mark);
  await file.rotate();
  deepStrictEqual(contentsOf(disk.cut({ names: 'kept', data: 'lost' })), [LINE]);
}

/** A row that the subscriber keeps in its file of refused rows is there before the position moves past it. */
async function refused(seed: number, skips: Skips): Promise<void> {
  let disk = diskOf(seed, skips);
  const keep = (on: FaultDisk): Promise<void> => {
    const row = { offset: seed, timestamp: 0, key: null, value: Buffer.from(LINE), headers: [] };
    const lease = { topic: 'in', topicId: '00', partition: 0 } as unknown as Parameters<RefusedFile['keep']>[0];
    const file = new RefusedFile(PATH, { pipeline: 'one', name: 'table' }, on, new ManualClock());
    return file.keep(lease, [{ record: row, code: 'UNWANTED', reason: 'not this one' }]);
  };
  if (seed % 4 > 0) {
    void keep(disk);
    await untilNamed(disk, new RegExp(`^${KILLED_AT[(seed % 4) - 1]}$`), 1);
    disk = killed(disk);
  }
  await keep(disk);
  const [text = ''] = contentsOf(disk.cut({ names: 'lost', data: 'lost' }));
  ok(text.includes('UNWANTED'), 'a refused row is lost');
}

export const STEERED_FILES: Record<string, (seed: number, skips: Skips) => Promise<void>> = {
  'steered: file found': found,
  'steered: file rotated': rotated,
  'steered: lines taken back': takenBack,
  'steered: refused rows': refused,
};
