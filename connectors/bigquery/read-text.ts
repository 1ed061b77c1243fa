import type { Disk } from '../../core/base/disk.ts';

/** A whole file as UTF-8. Throws the system's error. */
export async function readText(disk: Disk, path: string): Promise<string> {
  const file = await disk.open(path, 'read');
  try {
    const bytes = Buffer.alloc(await file.size());
    await file.read(bytes, 0);
    return bytes.toString();
  } finally {
    await file.close();
  }
}
