import { MillstreamError } from '../base/errors.ts';
import type { LockHost, ProcessIdentity } from '../base/lock-host.ts';

const LOCK_FILE = '.lock';

/**
 * Keeps other processes out of a directory. Node has no flock, so the lock is a file that names its holder; one whose
 * holder is gone (kill -9, power cut) is taken over. Taking over goes through a second file of the same kind: else two
 * processes that see the same dead holder could each remove the other's new lock.
 */
export class DirectoryLock {
  private readonly host: LockHost;
  private readonly path: string;
  private readonly text: string;

  private constructor(host: LockHost, path: string) {
    this.host = host;
    this.path = path;
    this.text = JSON.stringify(host.self);
  }

  /** Throws kind `conflict`, code DIRECTORY_LOCKED, naming the process that has the directory. */
  static async acquire(host: LockHost, directory: string): Promise<DirectoryLock> {
    const lock = new DirectoryLock(host, `${directory}/${LOCK_FILE}`);
    if (await host.createExclusive(lock.path, lock.text)) return lock;
    await refuseIfHeld(host, lock.path, directory);
    const takeover = `${lock.path}.takeover`;
    if (!(await host.createExclusive(takeover, lock.text))) {
      // Somebody else is about to, or died doing so.
      await refuseIfHeld(host, takeover, directory);
      await host.remove(takeover);
      if (!(await host.createExclusive(takeover, lock.text))) throw locked(directory, null);
    }
    try {
      await refuseIfHeld(host, lock.path, directory);
      await host.remove(lock.path);
      if (await host.createExclusive(lock.path, lock.text)) return lock;
    } finally {
      await host.remove(takeover);
    }
    throw locked(directory, null);
  }

  async release(): Promise<void> {
    if ((await this.host.read(this.path)) === this.text) await this.host.remove(this.path);
  }
}

async function refuseIfHeld(host: LockHost, path: string, directory: string): Promise<void> {
  const holder = parse(await host.read(path));
  if (holder && (await host.isRunning(holder))) throw locked(directory, holder.pid);
}

function parse(text: string | null): ProcessIdentity | null {
  try {
    const value: unknown = JSON.parse(text ?? '');
    if (typeof value !== 'object' || value === null || !('pid' in value) || !('started' in value)) return null;
    const { pid, started } = value;
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : null;
  } catch {
    return null;
  }
}

function locked(directory: string, pid: number | null): MillstreamError {
  const holder = pid === null ? 'another process' : `process ${pid}`;
  return new MillstreamError('conflict', 'DIRECTORY_LOCKED', `the directory ${directory} is in use by ${holder}`, {
    help: 'stop that process, or use another data directory',
  });
}
