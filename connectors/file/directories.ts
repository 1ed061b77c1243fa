import path from 'node:path';
import type { Disk } from '../../core/base/disk.ts';

/** Makes a folder with its parents and syncs every folder that got a new name, so that it is there after a crash. */
export async function ensureDirectory(disk: Disk, directory: string): Promise<void> {
  const missing: string[] = [];
  for (let at = directory; !(await disk.exists(at)); at = path.dirname(at)) missing.push(at);
  if (missing.length === 0) return;
  await disk.makeDirectory(directory);
  for (const made of missing.toReversed()) await disk.syncDirectory(path.dirname(made));
}
