import { expect, test } from 'vitest';
import { silentLogger } from '../../../../core/base/logger.ts';
import { EmbeddedEngine } from '../../../../core/engine/embedded.ts';
import type { Lease } from '../../../../core/engine/engine.ts';
import { aborted, gate } from './slow-reads.ts';

/* The index of aborted transactions goes with the records: what was read just before must not pass for committed. */

test('a fetch of committed records shows no aborted one that is deleted while it is read', async () => {
  const broker = await aborted();
  const deleted = Promise.withResolvers<void>();
  gate.until = deleted.promise;
  const fetching = broker.fetch('orders', 0, 0, { isolationLevel: 1, partitionMaxBytes: 1 });
  await broker.broker.log('orders', 0)?.deleteBefore(12);
  deleted.resolve();
  const { errorCode, records, abortedTransactions } = await fetching;
  // Out of range, or with what hides them.
  if (errorCode === 0) expect(abortedTransactions?.length).toBeGreaterThan(0);
  else expect([errorCode, records?.length ?? 0]).toEqual([1, 0]);
  await broker.close();
});

test('a lease shows none either', async () => {
  const broker = await aborted();
  const engine = new EmbeddedEngine(broker.broker, silentLogger);
  const { promise, resolve } = Promise.withResolvers<Lease>();
  await engine.join('readers', ['orders'], { assigned: async lease => resolve(lease), revoked: async () => {} });
  const lease = await promise;
  const deleted = Promise.withResolvers<void>();
  gate.until = deleted.promise;
  const reading = lease.read(0n, 1);
  await broker.broker.log('orders', 0)?.deleteBefore(12);
  deleted.resolve();
  const [read] = await Promise.allSettled([reading]);
  if (read.status === 'rejected') expect(read.reason).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
  else expect(read.value.batches).toEqual([]);
  await engine.close();
  await broker.close();
});
