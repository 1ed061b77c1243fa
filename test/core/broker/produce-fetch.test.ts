import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { crc32c } from '../../../core/base/crc32c.ts';
import { readBatchHeader } from '../../../core/log/batch.ts';
import { ErrorCode } from '../../../core/protocol/error-codes.ts';
import { batchOf, TestBroker, TestConnection, valuesOf } from './harness.ts';

let test: TestBroker;
beforeEach(async () => {
  test = await TestBroker.open({ config: { maxMessageBytes: 10_000 } });
  await test.broker.topics.create({ name: 'orders', partitions: 2 });
});
afterEach(() => test.close());

describe('Produce', () => {
  it('answers with offsets that grow, and the records can be fetched when it has answered', async () => {
    expect(await test.produce('orders', 0, batchOf(['a', 'b']))).toMatchObject({ errorCode: 0, baseOffset: 0 });
    expect(await test.produce('orders', 0, batchOf(['c']), { acks: 1 })).toMatchObject({ baseOffset: 2 });
    expect(await test.produce('orders', 1, batchOf(['d']))).toMatchObject({ baseOffset: 0 });
    const answer = await test.fetch('orders', 0, 0);
    expect(answer).toMatchObject({ highWatermark: 3, lastStableOffset: 3, logStartOffset: 0, errorCode: 0 });
    expect(valuesOf(answer.records)).toEqual([
      [0, 'a'],
      [1, 'b'],
      [2, 'c'],
    ]);
  });

  it('does not answer acks 0, but stores', async () => {
    const topicData = [{ name: 'orders', partitionData: [{ index: 0, records: batchOf(['a']) }] }];
    expect(await test.send(0, 9, { transactionalId: null, acks: 0, timeoutMs: 1, topicData })).toBeNull();
    const answer = await test.fetch('orders', 0, 0, { maxWaitMs: 5000 });
    expect(valuesOf(answer.records)).toEqual([[0, 'a']]);
  });

  it('takes several batches in one partition entry', async () => {
    const both = Buffer.concat([batchOf(['a']), batchOf(['b', 'c'])]);
    expect(await test.produce('orders', 0, both)).toMatchObject({ errorCode: 0, baseOffset: 0 });
    expect(valuesOf((await test.fetch('orders', 0, 0)).records).map(([offset]) => offset)).toEqual([0, 1, 2]);
  });

  const flipped = (at: number, to: (byte: number) => number): Uint8Array => {
    const batch = batchOf(['a', 'b']);
    batch[at] = to(batch[at] as number);
    return batch;
  };
  /** A batch with other header fields and the CRC that goes with them. */
  const resealed = (change: (batch: Buffer) => void): Uint8Array => {
    const batch = Buffer.from(batchOf(['a', 'b']));
    change(batch);
    batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
    return batch;
  };
  const refusals: [what: string, records: () => Uint8Array | null, errorCode: number][] = [
    ['a wrong CRC', () => flipped(62, byte => byte ^ 1), ErrorCode.CORRUPT_MESSAGE],
    ['an old magic', () => flipped(16, () => 1), ErrorCode.INVALID_RECORD],
    ['half a batch', () => batchOf(['a']).subarray(0, 64), ErrorCode.CORRUPT_MESSAGE],
    ['no batch', () => null, ErrorCode.INVALID_RECORD],
    ['a control batch', () => batchOf(['a'], { attributes: 0x20 }), ErrorCode.INVALID_RECORD],
    [
      'a transactional batch',
      () => batchOf(['a'], { attributes: 0x10, producerId: 1, producerEpoch: 0, baseSequence: 0 }),
      ErrorCode.INVALID_TXN_STATE,
    ],
    ['the timestamp type LogAppendTime', () => batchOf(['a'], { attributes: 0x08 }), ErrorCode.INVALID_TIMESTAMP],
    ['too many bytes', () => batchOf(['x'.repeat(10_001)]), ErrorCode.MESSAGE_TOO_LARGE],
    ['a producer id without sequence', () => batchOf(['a'], { producerId: 1 }), ErrorCode.INVALID_RECORD],
    ['an unknown codec', () => resealed(batch => batch.writeInt16BE(7, 21)), ErrorCode.UNSUPPORTED_COMPRESSION_TYPE],
    ['a false number of records', () => resealed(batch => batch.writeInt32BE(5, 23)), ErrorCode.INVALID_RECORD],
    ['a batch without records', () => resealed(batch => batch.writeInt32BE(0, 57)), ErrorCode.INVALID_RECORD],
  ];
  it.each(refusals)('refuses %s', async (_, records, errorCode) => {
    expect(await test.produce('orders', 0, records())).toMatchObject({ errorCode, baseOffset: -1 });
    expect((await test.fetch('orders', 0, 0)).highWatermark).toBe(0);
  });

  it('refuses other acks, unknown partitions and internal topics', async () => {
    const batch = batchOf(['a']);
    expect(await test.produce('orders', 0, batch, { acks: 2 })).toMatchObject({
      errorCode: ErrorCode.INVALID_REQUIRED_ACKS,
    });
    expect(await test.produce('orders', 2, batch)).toMatchObject({ errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION });
    expect(await test.produce('none', 0, batch)).toMatchObject({ errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION });
    expect(await test.produce('__consumer_offsets', 0, batch)).toMatchObject({
      errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION,
    });
  });

  it('refuses zstd from clients too old to know it', async () => {
    const batch = batchOf(['a'], { codec: 'zstd' });
    expect(await test.produce('orders', 0, batch, { version: 6 })).toMatchObject({
      errorCode: ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
    });
    expect(await test.produce('orders', 0, batch, { version: 7 })).toMatchObject({ errorCode: 0 });
  });

  it('stamps batches with its own time where the topic says so', async () => {
    await test.broker.topics.configure('orders', { 'message.timestamp.type': 'LogAppendTime' });
    const before = Date.now();
    const answer = await test.produce('orders', 0, batchOf(['a'], { timestamp: 5 }));
    expect(answer.logAppendTimeMs).toBeGreaterThanOrEqual(before);
    const { records } = await test.fetch('orders', 0, 0);
    const header = readBatchHeader(records as Uint8Array);
    expect([header.attributes, header.maxTimestamp >= before]).toEqual([0x08, true]);
    expect(valuesOf(records)).toEqual([[0, 'a']]);
  });

  it('answers the retry of an idempotent batch with the first offset, also after a restart', async () => {
    const { producerId, producerEpoch } = await test.ask(22, 4, { transactionalId: null, transactionTimeoutMs: 1 });
    const batch = (sequence: number) => batchOf([`${sequence}`], { producerId, producerEpoch, baseSequence: sequence });
    for (const sequence of [0, 1, 2]) {
      expect(await test.produce('orders', 0, batch(sequence))).toMatchObject({ errorCode: 0, baseOffset: sequence });
    }
    expect(await test.produce('orders', 0, batch(1))).toMatchObject({ errorCode: 0, baseOffset: 1 });
    expect(await test.produce('orders', 0, batch(7))).toMatchObject({
      errorCode: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
    });
    const { directory } = test;
    await test.broker.close();
    await test.store.close();
    const again = await TestBroker.open({ directory });
    try {
      expect(await again.produce('orders', 0, batch(1))).toMatchObject({ errorCode: 0, baseOffset: 1 });
      expect(await again.produce('orders', 0, batch(3))).toMatchObject({ errorCode: 0, baseOffset: 3 });
      const next = await again.ask(22, 4, { transactionalId: null, transactionTimeoutMs: 1 });
      expect(next.producerId).toBeGreaterThan(producerId);
    } finally {
      await again.close();
    }
  });
});

describe('Fetch', () => {
  const three = async (): Promise<void> => {
    for (const values of [['a', 'b'], ['c', 'd'], ['e']]) await test.produce('orders', 0, batchOf(values));
  };

  it('returns the whole batch for an offset in its middle', async () => {
    await three();
    const { records } = await test.fetch('orders', 0, 3, { partitionMaxBytes: 1 });
    expect(valuesOf(records)).toEqual([
      [2, 'c'],
      [3, 'd'],
    ]);
  });

  it('returns one whole batch whatever the limits, and the next ones only as far as they allow', async () => {
    await three();
    const size = batchOf(['a', 'b']).length;
    const first = await test.fetch('orders', 0, 0, { maxBytes: 1, partitionMaxBytes: 1 });
    expect(valuesOf(first.records)).toHaveLength(2);
    const two = await test.fetch('orders', 0, 0, { partitionMaxBytes: size * 2 + 5 });
    expect(valuesOf(two.records)).toHaveLength(4);
    await test.produce('orders', 1, batchOf(['z']));
    const body = await test.ask(1, 11, {
      maxWaitMs: 0,
      minBytes: 1,
      maxBytes: size + 10,
      topics: [
        {
          topic: 'orders',
          partitions: [0, 1].map(partition => ({ partition, fetchOffset: 0, partitionMaxBytes: 1000 })),
        },
      ],
    });
    const sizes = body.responses[0]?.partitions.map(({ records }) => records?.length ?? 0);
    expect(sizes).toEqual([size, 0]);
  });

  it('waits for records, and answers when they are durable', async () => {
    const waiting = test.fetch('orders', 0, 0, { maxWaitMs: 60_000 });
    await test.produce('orders', 0, batchOf(['late']));
    expect(valuesOf((await waiting).records)).toEqual([[0, 'late']]);
  });

  it('waits until there are min bytes, over several partitions', async () => {
    const size = batchOf(['1']).length;
    const waiting = test.ask(1, 11, {
      maxWaitMs: 60_000,
      minBytes: 3 * size,
      maxBytes: 1e6,
      topics: [
        {
          topic: 'orders',
          partitions: [0, 1].map(partition => ({ partition, fetchOffset: 0, partitionMaxBytes: 1e6 })),
        },
      ],
    });
    let answered = false;
    void waiting.then(() => (answered = true));
    await test.produce('orders', 0, batchOf(['1']));
    await test.produce('orders', 1, batchOf(['2']));
    expect(answered).toBe(false);
    await test.produce('orders', 0, batchOf(['3']));
    const partitions = (await waiting).responses[0]?.partitions ?? [];
    expect(partitions.map(({ records }) => valuesOf(records).map(([, value]) => value))).toEqual([['1', '3'], ['2']]);
  });

  it('answers with what there is when the time is up', async () => {
    await test.produce('orders', 0, batchOf(['1']));
    const answer = await test.fetch('orders', 0, 0, { maxWaitMs: 20, minBytes: 1e6 });
    expect(valuesOf(answer.records)).toEqual([[0, '1']]);
    expect(valuesOf((await test.fetch('orders', 0, 1, { maxWaitMs: 20 })).records)).toEqual([]);
  });

  it('gives up when the client hangs up, and leaves nothing behind', async () => {
    const connection = new TestConnection();
    const topics = [{ topic: 'orders', partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1e6 }] }];
    const waiting = test.send(1, 11, { maxWaitMs: 1e9, minBytes: 1, topics }, connection);
    await new Promise(resolve => setImmediate(resolve));
    expect(connection.waiting).toBe(1);
    connection.hangUp();
    expect(await waiting).toBeNull();
    expect(connection.waiting).toBe(0);
  });

  it('is woken when the topic is deleted', async () => {
    const waiting = test.fetch('orders', 0, 0, { maxWaitMs: 60_000 });
    await new Promise(resolve => setImmediate(resolve));
    await test.broker.topics.delete('orders');
    expect(await waiting).toMatchObject({ errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION });
  });

  it('refuses offsets outside the log, at once', async () => {
    await three();
    await test.ask(21, 2, {
      timeoutMs: 1,
      topics: [{ name: 'orders', partitions: [{ partitionIndex: 0, offset: 2 }] }],
    });
    for (const offset of [0, 1, 6, 100]) {
      expect(await test.fetch('orders', 0, offset, { maxWaitMs: 60_000 })).toMatchObject({
        errorCode: ErrorCode.OFFSET_OUT_OF_RANGE,
      });
    }
    expect(valuesOf((await test.fetch('orders', 0, 2)).records)[0]).toEqual([2, 'c']);
  });

  it('compares leader epochs', async () => {
    await three();
    const epoch = test.broker.log('orders', 0)?.leaderEpoch ?? -1;
    const ask = async (currentLeaderEpoch: number): Promise<number | undefined> => {
      const partitions = [{ partition: 0, fetchOffset: 0, currentLeaderEpoch, partitionMaxBytes: 1e6 }];
      const body = await test.ask(1, 12, { maxWaitMs: 0, minBytes: 1, topics: [{ topic: 'orders', partitions }] });
      return body.responses[0]?.partitions[0]?.errorCode;
    };
    expect([await ask(-1), await ask(epoch), await ask(epoch + 1)]).toEqual([0, 0, ErrorCode.UNKNOWN_LEADER_EPOCH]);
    const end = await test.ask(23, 3, {
      topics: [{ topic: 'orders', partitions: [{ partition: 0, leaderEpoch: epoch }] }],
    });
    expect(end.topics[0]?.partitions[0]).toMatchObject({ errorCode: 0, leaderEpoch: epoch, endOffset: 5 });
  });

  it('declines sessions, and does not know one that it never gave', async () => {
    const topics = [{ topic: 'orders', partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1e6 }] }];
    const opened = await test.ask(1, 11, { maxWaitMs: 0, minBytes: 1, sessionId: 0, sessionEpoch: 0, topics });
    expect(opened).toMatchObject({ errorCode: 0, sessionId: 0 });
    const unknown = await test.ask(1, 11, { maxWaitMs: 0, minBytes: 1, sessionId: 5, sessionEpoch: 3, topics: [] });
    expect(unknown.errorCode).toBe(ErrorCode.FETCH_SESSION_ID_NOT_FOUND);
  });
});

describe('ListOffsets and DeleteRecords', () => {
  const list = async (timestamp: number): Promise<number[]> => {
    const partitions = [{ partitionIndex: 0, timestamp }];
    const body = await test.ask(2, 7, { topics: [{ name: 'orders', partitions }] });
    const answer = body.topics[0]?.partitions[0];
    return [answer?.errorCode ?? -1, answer?.offset ?? -1, answer?.timestamp ?? -1];
  };

  it('finds the ends, a time, and the greatest timestamp', async () => {
    for (const timestamp of [1000, 3000, 2000]) {
      await test.produce('orders', 0, batchOf(['a', 'b'], { timestamp }));
    }
    expect(await list(-2)).toEqual([0, 0, -1]);
    expect(await list(-1)).toEqual([0, 6, -1]);
    expect(await list(1001)).toEqual([0, 2, 3000]);
    expect(await list(3001)).toEqual([0, -1, -1]);
    expect(await list(-3)).toEqual([0, 2, 3000]);
  });

  it('moves the start of the log up, to the high watermark for -1', async () => {
    for (const value of ['a', 'b', 'c']) await test.produce('orders', 0, batchOf([value]));
    const remove = async (offset: number): Promise<(number | undefined)[]> => {
      const partitions = [{ partitionIndex: 0, offset }];
      const body = await test.ask(21, 2, { timeoutMs: 1, topics: [{ name: 'orders', partitions }] });
      const answer = body.topics[0]?.partitions[0];
      return [answer?.errorCode, answer?.lowWatermark];
    };
    expect(await remove(2)).toEqual([0, 2]);
    expect(await list(-2)).toEqual([0, 2, -1]);
    expect(await remove(4)).toEqual([ErrorCode.OFFSET_OUT_OF_RANGE, -1]);
    expect(await remove(-1)).toEqual([0, 3]);
    expect(await list(-2)).toEqual([0, 3, -1]);
  });
});
