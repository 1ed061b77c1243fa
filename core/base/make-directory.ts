import { dirname, resolve } from 'node:path';
import type { Disk } from './disk.ts';

/** Makes a folder with its parents; every folder on the way is synced into its parent, so that a crash leaves it. */
export async function makeDirectoryDurably(disk: Disk, path: string): Promise<void> {
  const full = resolve(path);
  const parent = dirname(full);
  if ((await disk.exists(full)) || parent === full) {
    // Whoever made it may have died before this, or be just about to do it.
    await disk.syncDirectory(parent).catch((error: NodeJS.ErrnoException) => {
      // A folder that we may not even open is none that a process of ours has just made something in.
      if (error.code !== 'EACCES' && error.code !== 'EPERM') throw error;
    });
    return;
  }
  await makeDirectoryDurably(disk, parent);
  await disk.makeDirectory(full);
  await disk.syncDirectory(parent);
}
