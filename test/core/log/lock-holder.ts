import { nodeLockHost } from '../../../core/base/node-lock-host.ts';
import { DirectoryLock } from '../../../core/log/directory-lock.ts';

/* A process that takes the lock on the directory it is given and keeps it until it is killed. */
await DirectoryLock.acquire(nodeLockHost(), process.argv[2] ?? '');
process.send?.('locked');
setInterval(() => {}, 60_000);
