/** A process of this machine; `started` tells it from a later one that got the same id. */
export interface ProcessIdentity {
  pid: number;
  started: string;
}

/** What a lock file needs of the system, handed in like the disk. */
export interface LockHost {
  readonly self: ProcessIdentity;
  isRunning(process: ProcessIdentity): Promise<boolean>;
  /** Makes the file (and its folder) with this text in one step; false when there is one already. */
  createExclusive(path: string, text: string): Promise<boolean>;
  /** Null when there is no such file. */
  read(path: string): Promise<string | null>;
  /** No error when there is no such file. */
  remove(path: string): Promise<void>;
}
