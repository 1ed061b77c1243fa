/**
 * Loaded into the server before anything else (`node --import`): watches its file operations from outside and keeps the
 * trail (layout.ts). An append begins with a write to a log and ends with the sync that began behind it; a commit is
 * the same on an internal topic; recovery is from the first file of the log that is opened until the listener is up.
 */
import fs from 'node:fs';
import net from 'node:net';
import { isMainThread } from 'node:worker_threads';
import {
  APPENDS,
  APPENDS_BEGUN,
  COMMITS,
  COMMITS_BEGUN,
  FIELDS,
  PHASE,
  RECOVERING,
  SERVING,
  SINK_WRITES,
  STARTING,
  TRAIL_VARIABLE,
} from './layout.ts';

interface Watched {
  field: number;
  /** Writes so far; a sync covers those before its beginning. */
  writes: number;
  dirty: boolean;
}

const path = process.env[TRAIL_VARIABLE];
if (isMainThread && path !== undefined) watch(path);

function watch(trailPath: string): void {
  const trail = new Int32Array(FIELDS);
  const bytes = new Uint8Array(trail.buffer);
  const file = fs.openSync(trailPath, 'r+');
  const files = new Map<number, Watched>();
  const real = { ...fs };
  const save = (): void => {
    real.writeSync(file, bytes, 0, bytes.length, 0);
  };

  const fieldOf = (name: string): number | null => {
    if (name.endsWith('.log')) return /\/__[^/]+\/[^/]+$/.test(name) ? COMMITS : APPENDS;
    return name.endsWith('.ndjson') ? SINK_WRITES : null;
  };
  const opened = (name: unknown, fd: number): void => {
    const field = fieldOf(String(name));
    if (field === null) return;
    files.set(fd, { field, writes: 0, dirty: false });
    if (trail[PHASE] !== STARTING) return;
    trail[PHASE] = RECOVERING;
    save();
  };
  const written = (fd: number): void => {
    const watched = files.get(fd);
    if (watched === undefined) return;
    watched.writes++;
    if (watched.dirty) return;
    watched.dirty = true;
    trail[watched.field]! += 1;
    if (watched.field === APPENDS) trail[APPENDS_BEGUN]! += 1;
    if (watched.field === COMMITS) trail[COMMITS_BEGUN]! += 1;
    save();
  };
  const settled = (watched: Watched): void => {
    if (!watched.dirty) return;
    watched.dirty = false;
    trail[watched.field]! -= 1;
    save();
  };

  const patched = {
    open(name: unknown, ...rest: unknown[]) {
      const done = rest.pop() as (error: Error | null, fd: number) => void;
      call(real.open, name, ...rest, (error: Error | null, fd: number) => {
        if (error === null) opened(name, fd);
        done(error, fd);
      });
    },
    openSync(name: unknown, ...rest: unknown[]) {
      const fd = call(real.openSync, name, ...rest) as number;
      opened(name, fd);
      return fd;
    },
    close(fd: number, done: unknown) {
      const watched = files.get(fd);
      files.delete(fd);
      if (watched !== undefined) settled(watched);
      call(real.close, fd, done);
    },
    // The mark comes first: it is there when the process dies inside the write.
    writeSync(fd: number, ...rest: unknown[]) {
      written(fd);
      return call(real.writeSync, fd, ...rest);
    },
    writevSync(fd: number, ...rest: unknown[]) {
      written(fd);
      return call(real.writevSync, fd, ...rest);
    },
    // Logs write zeros ahead this way, which are no append; sinks write their lines.
    writev(fd: number, ...rest: unknown[]) {
      if (files.get(fd)?.field === SINK_WRITES) written(fd);
      return call(real.writev, fd, ...rest);
    },
    fdatasync(fd: number, done: (error: Error | null) => void) {
      const watched = files.get(fd);
      const covered = watched?.writes;
      call(real.fdatasync, fd, (error: Error | null) => {
        if (watched !== undefined && watched.writes === covered) settled(watched);
        done(error);
      });
    },
  };
  Object.assign(fs, patched);

  const { listen } = net.Server.prototype as unknown as {
    listen: (this: net.Server, ...rest: unknown[]) => net.Server;
  };
  net.Server.prototype.listen = function (this: net.Server, ...rest: unknown[]) {
    this.once('listening', () => {
      trail[PHASE] = SERVING;
      save();
    });
    return listen.apply(this, rest);
  };
  save();
}

function call(method: unknown, ...rest: unknown[]): unknown {
  return Reflect.apply(method as (...all: unknown[]) => unknown, fs, rest);
}
