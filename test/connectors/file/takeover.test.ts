import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemClock } from '../../../core/base/clock.ts';
import type { Disk } from '../../../core/base/disk.ts';
import { nodeDisk } from '../../../core/base/node-disk.ts';
import { FileLedger } from '../../../connectors/file/ledger.ts';
import { encodeMarks } from '../../../connectors/file/marks.ts';
import { Owners } from '../../../connectors/file/owners.ts';
import { temporaryDirectory } from '../support.ts';

let directory: string;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

it('a run that is still cutting files back when the next one begins hits nothing that the next one writes', async () => {
  const file = path.join(directory, 'all.ndjson');
  fs.writeFileSync(file, 'not committed\n');
  let reached = (): void => {};
  let release = (): void => {};
  const isCutting = new Promise<void>(resolve => (reached = resolve));
  const released = new Promise<void>(resolve => (release = resolve));
  const slow: Disk = {
    ...nodeDisk,
    exists: async name => {
      reached();
      await released;
      return nodeDisk.exists(name);
    },
  };
  const owners = new Owners();
  const ledger = (disk: Disk): FileLedger =>
    new FileLedger({
      owner: 'orders/lake',
      owners,
      baseDirectory: directory,
      disk,
      clock: systemClock,
      rotation: { bytes: null, ageMs: null },
    });
  const commits = {
    intent: async (): Promise<void> => {},
    lasts: true,
    states: async () => [
      {
        state:
          encodeMarks({ sequence: 1, files: new Map([['all.ndjson', { generation: 0, length: 0 }]]) }, 1, false) ?? '',
        lasts: true,
      },
    ],
  };

  const before = ledger(slow);
  const begun = before.begin(commits.states);
  await isCutting;
  const next = ledger(nodeDisk);
  const appended = next.append(new Map([[file, Buffer.from('the next one wrote this\n')]]), commits);
  // Time for the next run to write, if it does not wait.
  await new Promise(resolve => setTimeout(resolve, 50));
  release();
  await Promise.allSettled([begun, appended]);
  await appended;
  next.settle(commits);
  await next.close();
  await before.close();
  expect(fs.readFileSync(file, 'utf8')).toBe('the next one wrote this\n');
});
