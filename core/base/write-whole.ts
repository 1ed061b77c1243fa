import type { Disk } from './disk.ts';
import { MillstreamError } from './errors.ts';

/** Replaces a file as a whole: after a crash it is the old one or the new one. Kind `unavailable`, code DISK_FULL or
 * STORAGE_ERROR. */
export async function writeWhole(disk: Disk, folder: string, name: string, bytes: Uint8Array): Promise<void> {
  const path = `${folder}/${name}`;
  try {
    await disk.remove(`${path}.new`);
    const file = await disk.open(`${path}.new`, 'create');
    try {
      const written = await file.write([bytes], 0);
      if (written !== bytes.length) throw new Error(`only ${written} of ${bytes.length} bytes could be written`);
      await file.datasync();
    } finally {
      await file.close();
    }
    await disk.rename(`${path}.new`, path);
    await disk.syncDirectory(folder);
  } catch (error) {
    const full = (error as { code?: unknown }).code === 'ENOSPC';
    const help = full ? 'Free some space on that disk.' : 'Check the disk and its permissions.';
    const code = full ? 'DISK_FULL' : 'STORAGE_ERROR';
    throw new MillstreamError('unavailable', code, `${path} could not be written`, { cause: error, help });
  }
}
