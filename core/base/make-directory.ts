import { dirname, resolve } from 'node:path';
import type { Disk } from './disk.ts';

/** Makes a folder with its parents; every folder on the way is synced into its parent, so that a crash leaves it. */
export async function makeDirectoryDurably(disk: Disk, path: string): Promise<void> {
  const full = resolve(path);
  const parent = dirname(full);
  if (!(await disk.exists(full)) && parent !== full) {
    await makeDirectoryDurably(disk, parent);
    await disk.makeDirectory(full);
  }
  // Also when it is there already: the process that made it may have died before this.
  await disk.syncDirectory(parent);
}
