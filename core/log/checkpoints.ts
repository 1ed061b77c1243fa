import type { Disk } from '../base/disk.ts';
import type { SyncDomain } from './sync-domain.ts';
import { readWhole, writeAll } from './log-files.ts';

/*
 * A checkpoint file as Kafka writes it: "0" (version), the number of lines, then "<topic> <partition> <offset>" each.
 */
const LINE = /^(\S+) (\d+) (\d+)$/;

/** One offset for each log, in one file of the log directory. */
export class OffsetCheckpoint {
  private readonly disk: Disk;
  private readonly sync: SyncDomain;
  private readonly directory: string;
  private readonly name: string;
  private readonly offsets = new Map<string, number>();
  private running: Promise<void> | null = null;
  private next: Promise<void> | null = null;

  constructor(disk: Disk, sync: SyncDomain, directory: string, name: string) {
    this.disk = disk;
    this.sync = sync;
    this.directory = directory;
    this.name = name;
  }

  /** A missing or damaged file holds nothing: recovery then looks at more than it had to. */
  async load(): Promise<void> {
    const text = (await readWhole(this.disk, `${this.directory}/${this.name}`))?.toString() ?? '';
    const lines = text.split('\n');
    const count = Number(lines[1]);
    if (lines[0] !== '0' || !(lines.length >= count + 2)) return;
    for (let i = 0; i < count; i++) {
      const match = LINE.exec(lines[i + 2] ?? '');
      if (match) this.offsets.set(`${match[1]}-${match[2]}`, Number(match[3]));
    }
  }

  /** `name` is the log's folder: <topic>-<partition>. */
  get(name: string): number | undefined {
    return this.offsets.get(name);
  }

  set(name: string, offset: number): void {
    this.offsets.set(name, offset);
  }

  /** False when it was not in. */
  delete(name: string): boolean {
    return this.offsets.delete(name);
  }

  /** Resolves when what is set now is durable. Calls during a write share the next one. */
  save(): Promise<void> {
    if (!this.running) {
      this.running = this.write().finally(() => (this.running = null));
      return this.running;
    }
    this.next ??= this.running
      .catch(() => {})
      .then(() => {
        this.next = null;
        return this.save();
      });
    return this.next;
  }

  private async write(): Promise<void> {
    const lines = [...this.offsets].map(([name, offset]) => {
      const dash = name.lastIndexOf('-');
      return `${name.slice(0, dash)} ${name.slice(dash + 1)} ${offset}\n`;
    });
    const text = `0\n${this.offsets.size}\n${lines.join('')}`;
    await replaceFile(this.disk, this.sync, this.directory, this.name, Buffer.from(text));
    await this.sync.syncDirectory(this.directory);
  }
}

/** Writes a small file aside, syncs it and renames it into place: whole or not at all. The caller syncs the folder. */
export async function replaceFile(
  disk: Disk,
  sync: SyncDomain,
  directory: string,
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  const aside = `${directory}/${name}.tmp`;
  const file = await disk.open(aside, 'create');
  try {
    await file.truncate(0);
    await writeAll(file, bytes, 0);
    await sync.datasync(file);
  } finally {
    await file.close();
  }
  await disk.rename(aside, `${directory}/${name}`);
}
