import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { nodeLockHost } from '../../../core/base/node-lock-host.ts';
import { DirectoryLock } from '../../../core/log/directory-lock.ts';
import { temporaryDirectory } from './harness.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;

beforeEach(async () => {
  directory = await temporaryDirectory();
});
afterEach(() => directory.cleanUp());

test('a second holder is refused in one sentence that names the first', async () => {
  const lock = await DirectoryLock.acquire(nodeLockHost(), join(directory.path, 'data'));
  await expect(DirectoryLock.acquire(nodeLockHost(), join(directory.path, 'data'))).rejects.toMatchObject({
    kind: 'conflict',
    code: 'DIRECTORY_LOCKED',
    message: `the directory ${join(directory.path, 'data')} is in use by process ${process.pid}`,
  });
  await lock.release();
  await (await DirectoryLock.acquire(nodeLockHost(), join(directory.path, 'data'))).release();
});

test('the lock of another process holds while that runs, and is taken over after kill -9', async () => {
  const child = fork(join(import.meta.dirname, 'lock-holder.ts'), [directory.path]);
  await once(child, 'message');
  await expect(DirectoryLock.acquire(nodeLockHost(), directory.path)).rejects.toMatchObject({
    message: expect.stringContaining(`process ${child.pid}`),
  });
  child.kill('SIGKILL');
  await once(child, 'exit');
  const lock = await DirectoryLock.acquire(nodeLockHost(), directory.path);
  expect(await readFile(join(directory.path, '.lock'), 'utf8')).toContain(String(process.pid));
  await lock.release();
});

test('a lock whose process id now belongs to another process is taken over', async () => {
  const host = nodeLockHost();
  await writeFile(join(directory.path, '.lock'), JSON.stringify({ ...host.self, started: 'another boot/1' }));
  await (await DirectoryLock.acquire(host, directory.path)).release();
});

test('a lock that says nothing, and one left half taken over, are taken over', async () => {
  const host = nodeLockHost();
  await writeFile(join(directory.path, '.lock'), '');
  await writeFile(join(directory.path, '.lock.takeover'), JSON.stringify({ ...host.self, started: 'another boot/1' }));
  await (await DirectoryLock.acquire(host, directory.path)).release();
});

test('of many that see the same dead holder one gets the lock', async () => {
  const host = nodeLockHost();
  await writeFile(join(directory.path, '.lock'), JSON.stringify({ ...host.self, started: 'another boot/1' }));
  const results = await Promise.allSettled(
    Array.from({ length: 8 }, () => DirectoryLock.acquire(nodeLockHost(), directory.path)),
  );
  expect(results.filter(result => result.status === 'fulfilled')).toHaveLength(1);
});
