import type { Clock } from '../../core/base/clock.ts';
import type { Disk } from '../../core/base/disk.ts';
import { SinkError } from '../runtime/sink-error.ts';
import { LineFile, type Rotation } from './line-file.ts';

/** Files that stay open though nothing is being written to them. */
const MOST_OPEN = 64;

interface Entry {
  file: LineFile;
  owner: string;
  users: Set<object>;
}

/**
 * The files that the file sinks of this process write, one `LineFile` a path: two would write over each other, also when
 * an old run of a sink has not let go yet while its next run has begun.
 */
export class OpenFiles {
  /** In order of use, the longest unused first. */
  private readonly entries = new Map<string, Entry>();

  /** The file at `path` for `user`, one run of the sink `owner`. */
  take(path: string, owner: string, user: object, disk: Disk, clock: Clock, rotation: Rotation): LineFile {
    let entry = this.entries.get(path);
    if (entry && entry.owner !== owner) {
      throw new SinkError('fatal', 'FILE_IN_USE', `${path} is already written by the sink ${entry.owner}`, {
        help: 'Give each sink a path of its own.',
      });
    }
    if (entry) this.entries.delete(path);
    else entry = { file: new LineFile(path, disk, clock, rotation), owner, users: new Set() };
    entry.users.add(user);
    this.entries.set(path, entry);
    return entry.file;
  }

  /** Closes the longest unused files when there are too many. */
  async closeUnused(): Promise<void> {
    for (const [path, { file }] of this.entries) {
      if (this.entries.size <= MOST_OPEN) return;
      if (!file.isIdle) continue;
      this.entries.delete(path);
      await file.close();
    }
  }

  /** `user` has ended: closes what nobody else uses. */
  async release(user: object): Promise<void> {
    for (const [path, { file, users }] of this.entries) {
      if (!users.delete(user) || users.size > 0) continue;
      await file.close();
      // Somebody may have taken it meanwhile.
      if (users.size === 0) this.entries.delete(path);
    }
  }
}
