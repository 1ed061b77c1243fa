import path from 'node:path';
import type { Disk, DiskFile } from '../../core/base/disk.ts';
import { makeDirectoryDurably } from '../../core/base/make-directory.ts';
import { SinkError } from '../runtime/sink-error.ts';
import type { Mark } from './marks.ts';

/*
 * One file of lines. Its owner calls one method at a time. What is below the mark's length is on disk; what an append
 * left behind it after an error is cut off by `cutTo`.
 *
 * Rotation renames the full file: events.ndjson -> events.000001.ndjson, counting up from the highest number there.
 */

const NEWLINE = Uint8Array.of(0x0a);

export class LineFile {
  readonly path: string;
  private readonly disk: Disk;
  private file: DiskFile | null = null;
  private mark: Mark = { generation: 0, length: 0 };
  /** Something that is not ours ends without a newline. */
  private isUnfinished = false;
  /** The folder may not have the file's name on disk yet. */
  private isNameUnsynced = false;
  /** Nor what was renamed in it: by this object, or by a process that was killed before its sync. */
  private isFolderUnsynced = true;

  constructor(filePath: string, disk: Disk) {
    this.path = filePath;
    this.disk = disk;
  }

  get isOpen(): boolean {
    return this.file !== null;
  }

  /** Must this object be kept until the next `ready`? */
  get isUnsettled(): boolean {
    return this.isNameUnsynced || this.isFolderUnsynced;
  }

  /**
   * Opens the file where it is not, makes it where there is none, and says how far it goes. `known`: where this process
   * left it, null when it cannot say. Nothing is cut off. A SinkError `fatal` when somebody else writes to it.
   */
  async ready(known: Mark | null): Promise<Mark> {
    if (this.file) {
      const [size, isThere] = await Promise.all([this.file.size(), this.disk.exists(this.path)]);
      if (isThere && size === this.mark.length) return this.mark;
      if (isThere && size > this.mark.length) throw this.inUse(size, this.mark.length);
      // It was taken away or emptied: go on with what is there.
      await this.close();
    }
    const directory = path.dirname(this.path);
    const isNew = !(await this.disk.exists(this.path));
    if (isNew || this.isFolderUnsynced) await makeDirectoryDurably(this.disk, directory);
    await this.syncFolder(directory);
    this.isNameUnsynced ||= isNew;
    const file = await this.disk.open(this.path, 'create');
    try {
      if (this.isNameUnsynced) await this.disk.syncDirectory(directory);
      this.isNameUnsynced = false;
      const length = await file.size();
      if (known && length > known.length) throw this.inUse(length, known.length);
      this.isUnfinished = length > 0 && !(await endsInNewline(file, length));
      const generation = Math.max(known?.generation ?? 0, await highestSibling(this.disk, this.path));
      this.mark = { generation, length };
    } catch (error) {
      await file.close().catch(() => {});
      throw error;
    }
    this.file = file;
    return this.mark;
  }

  /** Appends whole lines to the file that is ready; resolves once they are on disk. */
  async append(lines: Uint8Array): Promise<Mark> {
    const { file } = this;
    if (!file) throw new Error(`${this.path} is not open`);
    const buffers = this.isUnfinished ? [NEWLINE, lines] : [lines];
    const end = buffers.reduce((sum, buffer) => sum + buffer.length, this.mark.length);
    const wrote = file.writeSync(buffers, this.mark.length);
    if (wrote !== end - this.mark.length) throw shortWrite(this.path);
    await file.datasync();
    this.mark = { ...this.mark, length: end };
    this.isUnfinished = false;
    return this.mark;
  }

  /** Takes back what was appended since; the cut is on disk when it resolves. */
  async cutTo(mark: Mark): Promise<void> {
    // The pages of a failed sync count as clean: only a new handle is trusted.
    await this.close();
    if (!(await this.disk.exists(this.path))) return;
    const file = await this.disk.open(this.path, 'readwrite');
    try {
      if ((await file.size()) > mark.length) {
        await file.truncate(mark.length);
        await file.datasync();
      }
    } finally {
      await file.close().catch(() => {});
    }
  }

  /** Renames the file that is ready; the next `ready` makes a new one. */
  async rotate(): Promise<void> {
    await this.close();
    const generation = Math.max(this.mark.generation, await highestSibling(this.disk, this.path)) + 1;
    await this.disk.rename(this.path, siblingOf(this.path, generation));
    this.mark = { generation, length: 0 };
    this.isFolderUnsynced = true;
    await this.syncFolder(path.dirname(this.path));
  }

  async close(): Promise<void> {
    const { file } = this;
    this.file = null;
    await file?.close().catch(() => {});
  }

  /** Before anything takes the old name. */
  private async syncFolder(directory: string): Promise<void> {
    if (this.isFolderUnsynced) await this.disk.syncDirectory(directory);
    this.isFolderUnsynced = false;
  }

  private inUse(size: number, length: number): SinkError {
    return new SinkError(
      'fatal',
      'FILE_IN_USE',
      `${this.path} has ${size} bytes where this sink left ${length}: somebody else writes to it`,
      { help: 'Give each sink a path of its own, and write nothing else to it.' },
    );
  }
}

/**
 * Cuts off what a crash left behind the committed length. A rotation that no commit
 * tells of shows by the next number: the committed length is that of the rotated file then.
 */
export async function recoverFile(disk: Disk, filePath: string, committed: Mark): Promise<void> {
  if (!(await disk.exists(filePath))) return;
  const rotated = siblingOf(filePath, committed.generation + 1);
  const wasRotated = (await disk.exists(rotated)) && (await sizeOf(disk, rotated)) === committed.length;
  const file = new LineFile(filePath, disk);
  await file.cutTo(wasRotated ? { ...committed, length: 0 } : committed);
}

async function sizeOf(disk: Disk, filePath: string): Promise<number> {
  const file = await disk.open(filePath, 'read');
  try {
    return await file.size();
  } finally {
    await file.close();
  }
}

function siblingOf(filePath: string, generation: number): string {
  const { dir, name, ext } = path.parse(filePath);
  return path.join(dir, `${name}.${String(generation).padStart(6, '0')}${ext}`);
}

async function highestSibling(disk: Disk, filePath: string): Promise<number> {
  const { dir, name, ext } = path.parse(filePath);
  let highest = 0;
  for (const other of await disk.list(dir)) {
    if (!other.startsWith(`${name}.`) || !other.endsWith(ext)) continue;
    const middle = other.slice(name.length + 1, -ext.length || undefined);
    if (/^\d{6,15}$/.test(middle)) highest = Math.max(highest, Number(middle));
  }
  return highest;
}

async function endsInNewline(file: DiskFile, length: number): Promise<boolean> {
  const last = new Uint8Array(1);
  await file.read(last, length - 1);
  return last[0] === 0x0a;
}

function shortWrite(filePath: string): Error {
  return Object.assign(new Error(`the disk took only a part of what was written to ${filePath}`), { code: 'ENOSPC' });
}
