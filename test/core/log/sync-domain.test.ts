import { expect, test } from 'vitest';
import { nodeDisk } from '../../../core/base/node-disk.ts';
import { SyncDomain, type SyncTarget } from '../../../core/log/sync-domain.ts';

/** A target whose syncs end when the test says so. */
class Target implements SyncTarget {
  readonly running: { end(): void; fail(error: Error): void }[] = [];
  begun = 0;

  sync(): Promise<void> {
    this.begun++;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.running.push({ end: resolve, fail: reject });
    return promise;
  }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

test('what is asked for in one turn shares a sync, and what comes while it runs shares the next', async () => {
  const domain = new SyncDomain(nodeDisk, 4, () => {});
  const target = new Target();
  const first = domain.requestSync(target);
  expect(domain.requestSync(target)).toBe(first);
  expect(target.begun).toBe(0);
  await turn();
  expect(target.begun).toBe(1);
  const second = domain.requestSync(target);
  expect(second).not.toBe(first);
  expect(domain.requestSync(target)).toBe(second);
  await turn();
  expect(target.begun).toBe(1);
  target.running[0]?.end();
  await first;
  await turn();
  expect(target.begun).toBe(2);
  target.running[1]?.end();
  await second;
});

test('targets are synced side by side, up to the bound', async () => {
  const domain = new SyncDomain(nodeDisk, 2, () => {});
  const targets = [new Target(), new Target(), new Target()];
  const done = targets.map(target => domain.requestSync(target));
  await turn();
  expect(targets.map(target => target.begun)).toEqual([1, 1, 0]);
  targets[1]?.running[0]?.end();
  await done[1];
  await turn();
  expect(targets.map(target => target.begun)).toEqual([1, 1, 1]);
  targets[0]?.running[0]?.end();
  targets[2]?.running[0]?.end();
  await Promise.all(done);
});

test('a sync that fails fails all that wait, and nothing is synced again', async () => {
  const failures: Error[] = [];
  const domain = new SyncDomain(nodeDisk, 1, error => failures.push(error));
  const [bad, other] = [new Target(), new Target()];
  const running = domain.requestSync(bad);
  const queued = domain.requestSync(other);
  await turn();
  const next = domain.requestSync(bad);
  bad.running[0]?.fail(new Error('EIO'));
  await expect(running).rejects.toMatchObject({ kind: 'unavailable', code: 'STORAGE_ERROR', retriable: false });
  await expect(queued).rejects.toMatchObject({ code: 'STORAGE_ERROR' });
  await expect(next).rejects.toMatchObject({ code: 'STORAGE_ERROR' });
  await expect(domain.requestSync(other)).rejects.toMatchObject({ code: 'STORAGE_ERROR' });
  await turn();
  expect([bad.begun, other.begun, failures.length]).toEqual([1, 0, 1]);
});
