import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ErrorCode } from '../../../../core/protocol/error-codes.ts';
import { batchOf, TestBroker, valuesOf } from '../harness.ts';
import { ManualClock } from '../../log/manual-clock.ts';
import { readCommitted, TransactionalClient } from './client.ts';

let test: TestBroker;
let clock: ManualClock;
let producer: TransactionalClient;

beforeEach(async () => {
  clock = new ManualClock();
  test = await TestBroker.open({ clock });
  await test.broker.topics.create({ name: 'orders', partitions: 2 });
  await test.broker.topics.create({ name: 'input', partitions: 2 });
  producer = new TransactionalClient(test, 'copier');
});
afterEach(() => test.close());

const everything = async (topic = 'orders', partition = 0): Promise<string[]> =>
  valuesOf((await test.fetch(topic, partition, 0)).records)
    .map(([, value]) => value)
    .filter(value => value.length !== 6);

const position = async (group: string, requireStable: boolean, topic = 'input') => {
  const topics = [{ name: topic, partitionIndexes: [0] }];
  const answer = await test.ask(9, 7, { groupId: group, topics, requireStable });
  const { errorCode, committedOffset, metadata } = answer.topics[0]?.partitions[0] ?? {};
  return { errorCode, committedOffset, metadata };
};

const latest = async (isolationLevel: number): Promise<number> => {
  const partitions = [{ partitionIndex: 0, timestamp: -1 }];
  const answer = await test.ask(2, 6, { isolationLevel, topics: [{ name: 'orders', partitions }] });
  return answer.topics[0]?.partitions[0]?.offset ?? -1;
};

/** A clean stop, and a start on what it left. */
async function restart(): Promise<void> {
  const { directory } = test;
  await test.broker.close();
  await test.store.close();
  test = await TestBroker.open({ directory, clock });
}

describe('a transaction of version 1', () => {
  it('shows its records to readers of committed ones when it is committed, and not before', async () => {
    expect(await producer.init()).toBe(0);
    expect(await producer.add('orders', 0, 1)).toEqual([0, 0]);
    expect(await producer.send('orders', 0, ['a', 'b'])).toBe(0);
    expect(await producer.send('orders', 1, ['c'])).toBe(0);
    await test.produce('orders', 0, batchOf(['plain']));
    expect(await everything()).toEqual(['a', 'b', 'plain']);
    expect(await readCommitted(test, 'orders', 0)).toEqual({ values: [], lastStableOffset: 0, highWatermark: 3 });
    expect([await latest(0), await latest(1)]).toEqual([3, 0]);
    expect(await producer.end(true)).toBe(0);
    expect((await readCommitted(test, 'orders', 0)).values).toEqual(['a', 'b', 'plain']);
    expect((await readCommitted(test, 'orders', 1)).values).toEqual(['c']);
  });

  it('hides its records for ever when it is aborted', async () => {
    await producer.init();
    expect(await producer.transact('orders', 0, ['lost'], false)).toBe(0);
    expect(await producer.transact('orders', 0, ['kept'], true)).toBe(0);
    expect(await producer.transact('orders', 0, ['lost too', 'and this'], false)).toBe(0);
    await test.produce('orders', 0, batchOf(['plain']));
    const { values } = await readCommitted(test, 'orders', 0);
    expect(values).toEqual(['kept', 'plain']);
    await restart();
    expect((await readCommitted(test, 'orders', 0)).values).toEqual(['kept', 'plain']);
  });

  it('wakes a waiting reader of committed records when it ends', async () => {
    await producer.init();
    await producer.add('orders', 0);
    await producer.send('orders', 0, ['a']);
    const waiting = test.fetch('orders', 0, 0, { isolationLevel: 1, maxWaitMs: 60_000 });
    await producer.end(true);
    expect(valuesOf((await waiting).records)[0]).toEqual([0, 'a']);
  });

  it('keeps the last stable offset at the oldest of several open ones', async () => {
    const other = new TransactionalClient(test, 'other');
    await Promise.all([producer.init(), other.init()]);
    for (const client of [producer, other]) {
      await client.add('orders', 0);
      await client.send('orders', 0, [client.id]);
    }
    await other.end(true);
    expect((await readCommitted(test, 'orders', 0)).lastStableOffset).toBe(0);
    await producer.end(false);
    expect((await readCommitted(test, 'orders', 0)).values).toEqual(['other']);
  });

  it('refuses a write to a partition that was not added, and adding what does not exist', async () => {
    await producer.init();
    await producer.add('orders', 0);
    expect(await producer.send('orders', 1, ['a'])).toBe(ErrorCode.INVALID_TXN_STATE);
    expect(await producer.add('nothing', 0)).toEqual([ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]);
    expect(await producer.add('orders', 0, 7)).toEqual([
      ErrorCode.OPERATION_NOT_ATTEMPTED,
      ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]);
    expect(await producer.end(true)).toBe(0);
    expect(await producer.send('orders', 0, ['late'])).toBe(ErrorCode.INVALID_TXN_STATE);
  });

  it('answers a repeated end as the first time, and refuses the other outcome', async () => {
    await producer.init();
    expect(await producer.end(true)).toBe(ErrorCode.INVALID_TXN_STATE);
    expect(await producer.transact('orders', 0, ['a'], true)).toBe(0);
    expect(await producer.end(true)).toBe(0);
    expect(await producer.end(false)).toBe(ErrorCode.INVALID_TXN_STATE);
  });

  it('can be begun while the one before is still being ended: nobody is told to come back', async () => {
    await producer.init();
    await producer.add('orders', 0);
    await producer.send('orders', 0, ['a']);
    const [ended, added] = await Promise.all([producer.end(true), producer.add('orders', 0)]);
    expect([ended, added]).toEqual([0, [0]]);
    expect(await producer.send('orders', 0, ['b'])).toBe(0);
    expect((await readCommitted(test, 'orders', 0)).values).toEqual(['a']);
    await producer.end(true);
    expect((await readCommitted(test, 'orders', 0)).values).toEqual(['a', 'b']);
  });
});

describe('positions in a transaction', () => {
  it('move when it is committed, and are unstable until then', async () => {
    await producer.init();
    expect(await producer.addOffsets('readers')).toBe(0);
    expect(await producer.commitOffset('readers', 'input', 0, 12)).toBe(0);
    expect(await position('readers', true)).toMatchObject({ errorCode: ErrorCode.UNSTABLE_OFFSET_COMMIT });
    expect(await position('readers', false)).toMatchObject({ errorCode: 0, committedOffset: -1 });
    await producer.end(true);
    expect(await position('readers', true)).toEqual({ errorCode: 0, committedOffset: 12, metadata: 'at 12' });
    await restart();
    expect(await position('readers', true)).toEqual({ errorCode: 0, committedOffset: 12, metadata: 'at 12' });
  });

  it('stay where they were when it is aborted', async () => {
    await producer.init();
    for (const committed of [true, false]) {
      await producer.addOffsets('readers');
      await producer.commitOffset('readers', 'input', 0, committed ? 5 : 9);
      await producer.end(committed);
    }
    expect(await position('readers', true)).toMatchObject({ errorCode: 0, committedOffset: 5 });
    await restart();
    expect(await position('readers', true)).toMatchObject({ errorCode: 0, committedOffset: 5 });
  });

  it('are refused without AddOffsetsToTxn before version 5', async () => {
    await producer.init();
    expect(await producer.commitOffset('readers', 'input', 0, 1)).toBe(ErrorCode.INVALID_TXN_STATE);
    expect(await producer.commitOffset('readers', 'input', 0, 1, 5)).toBe(0);
  });
});

describe('fencing', () => {
  it('ends the predecessor, and refuses whatever it still does', async () => {
    await producer.init();
    await producer.add('orders', 0);
    await producer.send('orders', 0, ['zombie']);
    const zombie = producer.copy();
    expect(await producer.init()).toBe(0);
    expect(producer.producerId).toBe(zombie.producerId);
    expect(producer.producerEpoch).toBeGreaterThan(zombie.producerEpoch);
    expect(await zombie.send('orders', 0, ['more'])).toBe(ErrorCode.INVALID_PRODUCER_EPOCH);
    expect(await zombie.add('orders', 1)).toEqual([ErrorCode.PRODUCER_FENCED]);
    expect(await zombie.addOffsets('readers')).toBe(ErrorCode.PRODUCER_FENCED);
    expect(await zombie.end(true)).toBe(ErrorCode.PRODUCER_FENCED);
    expect(await zombie.end(true, { version: 1 })).toBe(ErrorCode.INVALID_PRODUCER_EPOCH);
    expect(await zombie.init({ again: true })).toBe(ErrorCode.PRODUCER_FENCED);
    expect(await zombie.init({ again: true, version: 3 })).toBe(ErrorCode.INVALID_PRODUCER_EPOCH);
    await producer.transact('orders', 0, ['mine'], true);
    expect((await readCommitted(test, 'orders', 0)).values).toEqual(['mine']);
  });

  it('gives a producer that names itself its next epoch, also when it asks again', async () => {
    await producer.init();
    const lostTheAnswer = producer.copy();
    expect(await producer.init({ again: true })).toBe(0);
    expect(producer.producerEpoch).toBe(1);
    expect(await lostTheAnswer.init({ again: true })).toBe(0);
    expect(lostTheAnswer.producerEpoch).toBe(1);
  });

  it('knows only its own producers', async () => {
    await producer.init();
    producer.producerId += 1000;
    expect(await producer.add('orders', 0)).toEqual([ErrorCode.INVALID_PRODUCER_ID_MAPPING]);
    expect(await producer.end(true)).toBe(ErrorCode.INVALID_PRODUCER_ID_MAPPING);
    const nobody = new TransactionalClient(test, 'nobody');
    nobody.take(1, 0);
    expect(await nobody.end(false)).toBe(ErrorCode.INVALID_PRODUCER_ID_MAPPING);
    expect(await new TransactionalClient(test, '').init()).toBe(ErrorCode.INVALID_REQUEST);
    expect(await nobody.init({ timeoutMs: 16 * 60_000 })).toBe(ErrorCode.INVALID_TRANSACTION_TIMEOUT);
  });

  it('moves to a new producer id when the epochs are used up', async () => {
    await producer.init();
    const { producerId } = producer;
    const stored = test.broker.transactions.get('copier');
    if (stored) stored.producerEpoch = producer.producerEpoch = 32766;
    expect(await producer.init({ again: true })).toBe(0);
    expect(producer.producerId).not.toBe(producerId);
    expect(producer.producerEpoch).toBe(0);
    expect(await producer.transact('orders', 0, ['a'], true)).toBe(0);
  });
});

describe('a transaction that takes too long', () => {
  it('is aborted, and its producer goes on with a new epoch', async () => {
    await producer.init({ timeoutMs: 5000 });
    await producer.add('orders', 0);
    await producer.send('orders', 0, ['slow']);
    clock.advance(4999);
    expect((await readCommitted(test, 'orders', 0)).lastStableOffset).toBe(0);
    clock.advance(1);
    await test.fetch('orders', 0, 1, { isolationLevel: 1, maxWaitMs: 60_000 });
    expect(await producer.end(true)).toBe(ErrorCode.PRODUCER_FENCED);
    expect(await producer.init({ again: true })).toBe(0);
    expect(await producer.transact('orders', 0, ['next'], true)).toBe(0);
    expect((await readCommitted(test, 'orders', 0)).values).toEqual(['next']);
  });

  it('is aborted after a restart, too', async () => {
    await producer.init({ timeoutMs: 5000 });
    await producer.add('orders', 0);
    await producer.send('orders', 0, ['slow']);
    await restart();
    expect((await readCommitted(test, 'orders', 0)).lastStableOffset).toBe(0);
    clock.advance(5000);
    await test.fetch('orders', 0, 1, { isolationLevel: 1, maxWaitMs: 60_000 });
    expect((await readCommitted(test, 'orders', 0)).values).toEqual([]);
  });
});

describe('a transaction of version 2', () => {
  it('adds partitions by writing, and gets an epoch of its own with each end', async () => {
    await producer.init({ version: 5 });
    const { producerId, producerEpoch } = producer;
    expect(await producer.send('orders', 0, ['a'], { version: 12 })).toBe(0);
    expect(await producer.commitOffset('readers', 'input', 0, 3, 5)).toBe(0);
    const late = producer.copy();
    expect(await producer.end(true, { version: 5 })).toBe(0);
    expect([producer.producerId, producer.producerEpoch]).toEqual([producerId, producerEpoch + 1]);
    expect(await late.send('orders', 0, ['late'], { version: 12 })).toBe(ErrorCode.INVALID_PRODUCER_EPOCH);
    expect(await late.end(true, { version: 5 })).toBe(0);
    expect(late.producerEpoch).toBe(producer.producerEpoch);
    expect(await producer.send('orders', 0, ['b'], { version: 12 })).toBe(0);
    expect(await producer.end(false, { version: 5 })).toBe(0);
    expect((await readCommitted(test, 'orders', 0)).values).toEqual(['a']);
    expect(await position('readers', true)).toMatchObject({ committedOffset: 3 });
  });

  it('may be aborted when nothing was written, but not committed', async () => {
    await producer.init({ version: 5 });
    const { producerEpoch } = producer;
    expect(await producer.end(true, { version: 5 })).toBe(ErrorCode.INVALID_TXN_STATE);
    expect(await producer.end(false, { version: 5 })).toBe(0);
    expect(producer.producerEpoch).toBe(producerEpoch + 1);
  });

  it('does not begin with positions of unknown topics alone', async () => {
    await producer.init({ version: 5 });
    expect(await producer.commitOffset('readers', 'nowhere', 0, 3, 5)).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    expect(await producer.end(true, { version: 5 })).toBe(ErrorCode.INVALID_TXN_STATE);
    expect(await producer.commitOffset('readers', 'input', 0, 3, 5)).toBe(0);
    expect(await producer.end(true, { version: 5 })).toBe(0);
  });

  it('gets a new producer id when its epochs are used up', async () => {
    await producer.init({ version: 5 });
    const { producerId } = producer;
    const stored = test.broker.transactions.get('copier');
    if (stored) stored.producerEpoch = producer.producerEpoch = 32766;
    expect(await producer.send('orders', 0, ['a'], { version: 12 })).toBe(0);
    const again = producer.copy();
    expect(await producer.end(true, { version: 5 })).toBe(0);
    expect(producer.producerId).not.toBe(producerId);
    expect(producer.producerEpoch).toBe(0);
    expect(await again.end(true, { version: 5 })).toBe(0);
    expect(again.producerId).toBe(producer.producerId);
    expect(await producer.send('orders', 0, ['b'], { version: 12 })).toBe(0);
    await producer.end(true, { version: 5 });
    expect((await readCommitted(test, 'orders', 0)).values).toEqual(['a', 'b']);
  });
});

describe('after a restart', () => {
  it('an open transaction goes on', async () => {
    await producer.init();
    await producer.add('orders', 0);
    await producer.send('orders', 0, ['before']);
    await restart();
    const { producerId, producerEpoch } = producer;
    const after = new TransactionalClient(test, 'copier');
    after.take(producerId, producerEpoch);
    expect(await after.end(true)).toBe(0);
    expect((await readCommitted(test, 'orders', 0)).values).toEqual(['before']);
    await after.init();
    expect(await after.transact('orders', 0, ['after'], true)).toBe(0);
  });

  it('a transactional id that was idle for a week is forgotten', async () => {
    await producer.init();
    await producer.transact('orders', 0, ['a'], true);
    clock.advance(7 * 24 * 3600 * 1000 + 1);
    await test.broker.housekeeping.run();
    expect(await producer.end(true)).toBe(ErrorCode.INVALID_PRODUCER_ID_MAPPING);
    await restart();
    expect(test.broker.transactions.list()).toEqual([]);
  });
});
