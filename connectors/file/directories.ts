import path from 'node:path';
import type { Disk } from '../../core/base/disk.ts';

/**
 * Makes a folder with its parents and syncs every folder that got a new name, so that it is there after a crash. The
 * folder found there is synced too: another sink may have made it just now, and its name may not be on disk yet.
 */
export async function ensureDirectory(disk: Disk, directory: string): Promise<void> {
  const missing: string[] = [];
  let found = directory;
  for (; !(await disk.exists(found)); found = path.dirname(found)) missing.push(found);
  await disk.syncDirectory(path.dirname(found)).catch((error: NodeJS.ErrnoException) => {
    // A folder that we may not even open is none that a sink of ours has just made something in.
    if (error.code !== 'EACCES' && error.code !== 'EPERM') throw error;
  });
  if (missing.length === 0) return;
  await disk.makeDirectory(directory);
  for (const made of missing.toReversed()) await disk.syncDirectory(path.dirname(made));
}
