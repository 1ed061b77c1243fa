import { join } from 'node:path';
import type { Disk } from '../core/base/disk.ts';
import { makeDirectoryDurably } from '../core/base/make-directory.ts';
import type { Random } from '../core/base/random.ts';

/*
 * A name for the folder that a process works in: `.millstream/place` holds it, eight hexadecimal digits. Processes on other
 * machines have other folders (or the same one, where it is shared), and files of one are not those of another.
 */

const PLACE = /^[0-9a-f]{8}$/;

/** Reads it, or makes one up and keeps it. */
export async function placeOf(disk: Disk, random: Random, baseDirectory: string): Promise<string> {
  const folder = join(baseDirectory, '.millstream');
  await makeDirectoryDurably(disk, folder);
  const file = await disk.open(join(folder, 'place'), 'create');
  try {
    const bytes = Buffer.alloc(8);
    const read = await file.read(bytes, 0);
    const known = bytes.subarray(0, read).toString();
    const isKnown = PLACE.test(known);
    const place = isKnown ? known : Buffer.from(random.fill(new Uint8Array(4))).toString('hex');
    if (!isKnown) await file.write([Buffer.from(`${place}\n`)], 0);
    // One that is found too: whoever made it up may have been killed before this.
    await file.datasync();
    await disk.syncDirectory(folder);
    return place;
  } finally {
    await file.close();
  }
}
