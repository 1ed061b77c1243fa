import { expect, test } from 'vitest';
import type { BatchHeader } from '../../../../core/log/batch.ts';
import type { LogObserver } from '../../../../core/log/log.ts';
import { LOG, LogOfKeys } from './log-of-keys.ts';

class Count implements LogObserver {
  records = 0;

  restore(snapshot: Uint8Array | null): void {
    this.records = snapshot ? Number(Buffer.from(snapshot).toString()) : 0;
  }

  batch(header: BatchHeader): void {
    this.records += header.recordCount;
  }

  snapshot(): Uint8Array {
    return Buffer.from(String(this.records));
  }
}

test('what an observer has made of records is stored before compaction takes them, though its snapshots were lost', async () => {
  const log = new LogOfKeys();
  log.observer = new Count();
  await log.open();
  for (let i = 0; i < 30; i++) await log.append([[`k${i % 3}`, 'x'.repeat(150)]]).durable;
  await log.roll();
  await log.store.close();
  for (const name of await log.disk.list(LOG)) {
    if (name.endsWith('.snapshot')) await log.disk.remove(`${LOG}/${name}`);
  }
  const replayed = new Count();
  log.observer = replayed;
  await log.open();
  expect(replayed.records).toBe(log.log.endOffset);

  const sizeBytes = log.log.sizeBytes;
  expect(await log.compact()).not.toBeNull();
  expect(log.log.sizeBytes).toBeLessThan(sizeBytes / 2);
  const after = new Count();
  log.observer = after;
  await log.reopen('kill');
  expect(after.records).toBe(log.log.endOffset);
});
