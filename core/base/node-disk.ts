import fs from 'node:fs';
import { type FileHandle, open as openFile } from 'node:fs/promises';
import type { Disk, DiskFile } from './disk.ts';

const FLAGS = {
  read: fs.constants.O_RDONLY,
  readwrite: fs.constants.O_RDWR,
  create: fs.constants.O_RDWR | fs.constants.O_CREAT,
} as const;

/** The real disk, through Node's fs. */
export const nodeDisk: Disk = {
  async open(path, mode) {
    return new NodeFile(path, await openFile(path, FLAGS[mode], 0o644));
  },
  async makeDirectory(path) {
    await fs.promises.mkdir(path, { recursive: true });
  },
  async list(path) {
    try {
      return await fs.promises.readdir(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  },
  async exists(path) {
    return fs.promises.access(path).then(
      () => true,
      () => false,
    );
  },
  rename: (from, to) => fs.promises.rename(from, to),
  remove: path => fs.promises.rm(path, { force: true }),
  removeDirectory: path => fs.promises.rm(path, { force: true, recursive: true }),
  async syncDirectory(path) {
    const handle = await openFile(path, fs.constants.O_RDONLY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  async space(path) {
    const stats = await fs.promises.statfs(path);
    return { free: stats.bavail * stats.bsize, total: stats.blocks * stats.bsize };
  },
};

class NodeFile implements DiskFile {
  readonly path: string;
  private readonly handle: FileHandle;

  constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.handle = handle;
  }

  async size(): Promise<number> {
    return (await this.handle.stat()).size;
  }

  writeSync(buffers: readonly Uint8Array[], position: number): number {
    const only = buffers[0];
    if (buffers.length === 1 && only) return fs.writeSync(this.handle.fd, only, 0, only.length, position);
    return fs.writevSync(this.handle.fd, buffers, position);
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return (await this.handle.writev(buffers, position)).bytesWritten;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let done = 0;
    while (done < target.length) {
      const { bytesRead } = await this.handle.read(target, done, target.length - done, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  readSync(target: Uint8Array, position: number): number {
    let done = 0;
    while (done < target.length) {
      const read = fs.readSync(this.handle.fd, target, done, target.length - done, position + done);
      if (read === 0) break;
      done += read;
    }
    return done;
  }

  truncate(length: number): Promise<void> {
    return this.handle.truncate(length);
  }

  datasync(): Promise<void> {
    return this.handle.datasync();
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}
