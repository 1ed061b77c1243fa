import { expect, test } from 'vitest';
import { readPage } from '../../../../server/api/http/record-page.ts';
import { batchOf } from '../../../core/broker/harness.ts';
import { aborted, gate } from '../../../core/broker/transactions/slow-reads.ts';

test('a page of records shows no aborted one that is deleted while it is read, and goes on behind it', async () => {
  const broker = await aborted();
  await broker.produce('orders', 0, batchOf(['kept']));
  const log = broker.broker.partitionLog('orders', 0);
  if (!log) throw new Error('orders is not there');
  const deleted = Promise.withResolvers<void>();
  gate.until = deleted.promise;
  const reading = readPage(log, 0, 0, { records: 100, bytes: 1e6 });
  await log.deleteBefore(12);
  deleted.resolve();
  const { records, next } = await reading;
  expect(records.map(({ offset, value }) => [offset, value])).toEqual([[20, 'kept']]);
  expect(next).toBe(21);
  await broker.close();
});
