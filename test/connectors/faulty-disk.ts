import type { Disk, DiskFile } from '../../core/base/disk.ts';
import { nodeDisk } from '../../core/base/node-disk.ts';

export type DiskCall = 'open' | 'writeSync' | 'datasync' | 'truncate' | 'rename' | 'syncDirectory' | 'makeDirectory';

/** The real disk, with a say before every call: throw to fail it, return a promise to hold it up. */
export class FaultyDisk implements Disk {
  before: (call: DiskCall, path: string) => void | Promise<void> = () => {};
  /** Bytes that the next write takes of what it is given; null: all. */
  shortWrite: number | null = null;
  readonly calls: `${DiskCall} ${string}`[] = [];

  async open(path: string, mode: 'read' | 'readwrite' | 'create'): Promise<DiskFile> {
    await this.call('open', path);
    return this.wrap(await nodeDisk.open(path, mode));
  }
  async makeDirectory(path: string): Promise<void> {
    await this.call('makeDirectory', path);
    await nodeDisk.makeDirectory(path);
  }
  async rename(from: string, to: string): Promise<void> {
    await this.call('rename', from);
    await nodeDisk.rename(from, to);
  }
  async syncDirectory(path: string): Promise<void> {
    await this.call('syncDirectory', path);
    await nodeDisk.syncDirectory(path);
  }
  openSync(path: string, mode: 'read' | 'readwrite' | 'create'): DiskFile {
    return this.wrap(nodeDisk.openSync(path, mode));
  }
  list(path: string): Promise<string[]> {
    return nodeDisk.list(path);
  }
  exists(path: string): Promise<boolean> {
    return nodeDisk.exists(path);
  }
  remove(path: string): Promise<void> {
    return nodeDisk.remove(path);
  }
  removeDirectory(path: string): Promise<void> {
    return nodeDisk.removeDirectory(path);
  }
  space(path: string): Promise<{ free: number; total: number }> {
    return nodeDisk.space(path);
  }

  private async call(call: DiskCall, path: string): Promise<void> {
    this.calls.push(`${call} ${path}`);
    await this.before(call, path);
  }

  private wrap(file: DiskFile): DiskFile {
    const { path } = file;
    return {
      path,
      size: () => file.size(),
      writeSync: (buffers, position) => {
        this.calls.push(`writeSync ${path}`);
        void this.before('writeSync', path);
        const { shortWrite } = this;
        this.shortWrite = null;
        if (shortWrite === null) return file.writeSync(buffers, position);
        return file.writeSync([Buffer.concat(buffers).subarray(0, shortWrite)], position);
      },
      write: (buffers, position) => file.write(buffers, position),
      read: (target, position) => file.read(target, position),
      readSync: (target, position) => file.readSync(target, position),
      truncate: async length => {
        await this.call('truncate', path);
        await file.truncate(length);
      },
      truncateSync: length => file.truncateSync(length),
      datasync: async () => {
        await this.call('datasync', path);
        await file.datasync();
      },
      close: () => file.close(),
    };
  }
}

/** An error as the operating system gives it. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: the disk says no`), { code });
}
