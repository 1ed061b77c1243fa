import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { LockHost, ProcessIdentity } from './lock-host.ts';

/** The real machine. Process start times come from Linux' /proc; elsewhere only the process id is compared. */
export function nodeLockHost(): LockHost {
  return {
    self: { pid: process.pid, started: startOf(process.pid) ?? '' },
    isRunning: async (other: ProcessIdentity) => isAlive(other.pid) && (startOf(other.pid) ?? '') === other.started,
    async createExclusive(path, text) {
      // Written aside and linked: whoever sees the file sees all of it.
      const aside = `${path}.${randomUUID()}`;
      await mkdir(dirname(path), { recursive: true });
      await writeFile(aside, text);
      try {
        await link(aside, path);
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
        throw error;
      } finally {
        await rm(aside, { force: true });
      }
    },
    async read(path) {
      try {
        return await readFile(path, 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw error;
      }
    },
    remove: path => rm(path, { force: true }),
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, but another user's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Which boot, and how long after it the process began (proc(5): /proc/PID/stat, field 22). Null without /proc. */
function startOf(pid: number): string | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Field 2 is the command in parentheses, which may hold spaces and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return `${boot}/${fields[19]}`;
  } catch {
    return null;
  }
}
