import fs from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Disk, DiskFile } from './disk.ts';

const FLAGS = {
  read: fs.constants.O_RDONLY,
  readwrite: fs.constants.O_RDWR,
  create: fs.constants.O_RDWR | fs.constants.O_CREAT,
} as const;

/** The real disk, through Node's fs. */
export const nodeDisk: Disk = {
  async open(path, mode) {
    return new NodeFile(path, await promises.open(path, FLAGS[mode], 0o644));
  },
  openSync(path, mode) {
    return new NodeFile(path, fs.openSync(path, FLAGS[mode], 0o644));
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

/* Plain descriptors instead of FileHandles: those can only be opened asynchronously. */
const promises = {
  open: promisify(fs.open),
  fstat: promisify(fs.fstat),
  ftruncate: promisify(fs.ftruncate),
  fdatasync: promisify(fs.fdatasync),
  close: promisify(fs.close),
};

class NodeFile implements DiskFile {
  readonly path: string;
  private readonly fd: number;

  constructor(path: string, fd: number) {
    this.path = path;
    this.fd = fd;
  }

  async size(): Promise<number> {
    return (await promises.fstat(this.fd)).size;
  }

  writeSync(buffers: readonly Uint8Array[], position: number): number {
    const only = buffers[0];
    if (buffers.length === 1 && only) return fs.writeSync(this.fd, only, 0, only.length, position);
    return fs.writevSync(this.fd, buffers, position);
  }

  write(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.writev(this.fd, buffers, position, (error, written) => (error ? reject(error) : resolve(written)));
    });
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let done = 0;
    while (done < target.length) {
      const read = await this.readOnce(target, done, position + done);
      if (read === 0) break;
      done += read;
    }
    return done;
  }

  private readOnce(target: Uint8Array, at: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.read(this.fd, target, at, target.length - at, position, (error, read) =>
        error ? reject(error) : resolve(read),
      );
    });
  }

  readSync(target: Uint8Array, position: number): number {
    let done = 0;
    while (done < target.length) {
      const read = fs.readSync(this.fd, target, done, target.length - done, position + done);
      if (read === 0) break;
      done += read;
    }
    return done;
  }

  truncate(length: number): Promise<void> {
    return promises.ftruncate(this.fd, length);
  }

  truncateSync(length: number): void {
    fs.ftruncateSync(this.fd, length);
  }

  datasync(): Promise<void> {
    return promises.fdatasync(this.fd);
  }

  close(): Promise<void> {
    return promises.close(this.fd);
  }
}
