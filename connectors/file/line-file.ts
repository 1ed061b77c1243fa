import path from 'node:path';
import type { Clock, Timer } from '../../core/base/clock.ts';
import type { Disk, DiskFile } from '../../core/base/disk.ts';
import { ensureDirectory } from './directories.ts';

/*
 * One file of lines that several partitions append to. Appends run one behind the other and are whole lines, so lines
 * never mix; those that wait share one sync. What is below `length` is on disk; after any error the file is closed,
 * and cut back to that length when it is opened again, so that a torn or unsynced line never stays.
 *
 * Rotation renames the full file: events.ndjson -> events.000001.ndjson, counting up from the highest number there.
 */

export interface Rotation {
  /** A file that is this long is rotated before the next append. */
  bytes: number | null;
  /** A file is rotated this long after this process opened it. */
  ageMs: number | null;
}

interface Append {
  lines: Uint8Array;
  resolve(end: number): void;
  reject(error: unknown): void;
}

const TAIL_BYTES = 64 * 1024;

export class LineFile {
  readonly path: string;
  private readonly disk: Disk;
  private readonly clock: Clock;
  private readonly rotation: Rotation;
  private file: DiskFile | null = null;
  /** Bytes known to be on disk; null until the file was opened once. */
  private length: number | null = null;
  private queue: Append[] = [];
  private working: Promise<void> | null = null;
  private timer: Timer | null = null;
  private isOld = false;

  constructor(filePath: string, disk: Disk, clock: Clock, rotation: Rotation) {
    this.path = filePath;
    this.disk = disk;
    this.clock = clock;
    this.rotation = rotation;
  }

  /** Resolves, with the file's length behind these lines, once they are on disk. */
  append(lines: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      this.queue.push({ lines, resolve, reject });
      this.work();
    });
  }

  get isIdle(): boolean {
    return this.working === null;
  }

  /** Waits for what is queued; the next append opens the file again. */
  async close(): Promise<void> {
    while (this.working) await this.working;
    await this.letGo();
  }

  private work(): void {
    this.working ??= this.drain().finally(() => {
      this.working = null;
      if (this.queue.length > 0 || this.isOld) this.work();
    });
  }

  private async drain(): Promise<void> {
    await Promise.resolve();
    while (this.queue.length > 0 || this.isOld) {
      const group = this.queue;
      this.queue = [];
      try {
        await this.rotateIfDue();
        if (group.length === 0) continue;
        for (const [index, end] of (await this.write(group)).entries()) group[index]?.resolve(end);
      } catch (error) {
        this.isOld = false;
        await this.letGo();
        for (const append of group) append.reject(error);
      }
    }
  }

  private async write(group: readonly Append[]): Promise<number[]> {
    const file = (this.file ??= await this.open());
    let at = this.length ?? 0;
    const buffers = group.map(append => append.lines);
    const ends = buffers.map(buffer => (at += buffer.length));
    const wrote = file.writeSync(buffers, this.length ?? 0);
    if (wrote !== at - (this.length ?? 0)) throw shortWrite(this.path);
    await file.datasync();
    this.length = at;
    return ends;
  }

  private async open(): Promise<DiskFile> {
    const directory = path.dirname(this.path);
    const isNew = !(await this.disk.exists(this.path));
    if (isNew) await ensureDirectory(this.disk, directory);
    const file = await this.disk.open(this.path, 'create');
    try {
      if (isNew) await this.disk.syncDirectory(directory);
      const size = await file.size();
      const keep = Math.min(this.length ?? (await endOfLastLine(file, size)), size);
      if (keep < size) {
        await file.truncate(keep);
        await file.datasync();
      }
      this.length = keep;
    } catch (error) {
      await file.close().catch(() => {});
      throw error;
    }
    const { ageMs } = this.rotation;
    if (ageMs !== null) {
      this.timer = this.clock.setTimer(ageMs, () => {
        this.isOld = true;
        this.work();
      });
    }
    return file;
  }

  private async rotateIfDue(): Promise<void> {
    const { bytes } = this.rotation;
    const isFull = bytes !== null && (this.length ?? 0) >= bytes;
    const isOld = this.isOld;
    this.isOld = false;
    if (!this.length || !(isFull || isOld)) return;
    await this.letGo();
    const directory = path.dirname(this.path);
    const { name, ext } = path.parse(this.path);
    let number = 0;
    for (const other of await this.disk.list(directory)) {
      const middle =
        other.startsWith(`${name}.`) && other.endsWith(ext)
          ? other.slice(name.length + 1, -ext.length || undefined)
          : '';
      if (/^\d{6,}$/.test(middle)) number = Math.max(number, Number(middle));
    }
    const rotated = path.join(directory, `${name}.${String(number + 1).padStart(6, '0')}${ext}`);
    await this.disk.rename(this.path, rotated);
    await this.disk.syncDirectory(directory);
    this.length = null;
  }

  private async letGo(): Promise<void> {
    this.timer?.cancel();
    this.timer = null;
    const { file } = this;
    this.file = null;
    await file?.close().catch(() => {});
  }
}

/** Where the last whole line ends: a crash may have left a part of one behind it. */
export async function endOfLastLine(file: DiskFile, size: number): Promise<number> {
  const tail = new Uint8Array(Math.min(TAIL_BYTES, size));
  for (let end = size; end > 0; ) {
    const from = Math.max(0, end - tail.length);
    const part = tail.subarray(0, end - from);
    await file.read(part, from);
    const newline = part.lastIndexOf(0x0a);
    if (newline !== -1) return from + newline + 1;
    end = from;
  }
  return 0;
}

function shortWrite(filePath: string): Error {
  return Object.assign(new Error(`the disk took only a part of what was written to ${filePath}`), { code: 'ENOSPC' });
}
