import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../core/base/clock.ts';
import { readBatchHeader } from '../../../core/log/batch.ts';
import { addSequence, subtractSequence } from '../../../core/log/sequence.ts';
import { decodeProducerSnapshot } from '../../../core/broker/producer-snapshot.ts';
import { ProducerState } from '../../../core/broker/producer-state.ts';
import { ManualClock } from '../../connectors/manual-clock.ts';
import { batchOf } from './harness.ts';

const MAX = 2147483647;

function header(baseSequence: number, { epoch = 0, records = 1, producerId = 7, baseOffset = 0 } = {}) {
  const values = Array.from({ length: records }, () => 'x');
  return readBatchHeader(batchOf(values, { producerId, producerEpoch: epoch, baseSequence, baseOffset }));
}

/** Checks and, when it is new, takes the batch in at the next offset. */
function writer(state: ProducerState) {
  let next = 0;
  return (baseSequence: number, options: Parameters<typeof header>[1] = {}): number => {
    const batch = header(baseSequence, { ...options, baseOffset: next });
    const original = state.check([batch]);
    if (original) return original.firstOffset;
    state.batch(batch);
    next += batch.recordCount;
    return batch.baseOffset;
  };
}

describe('the state of idempotent producers', () => {
  it('takes batches in sequence and answers a retry with the offset of the original', () => {
    const write = writer(new ProducerState(systemClock));
    expect(write(0, { records: 3 })).toBe(0);
    expect(write(3, { records: 2 })).toBe(3);
    expect(write(0, { records: 3 })).toBe(0);
    expect(write(3, { records: 2 })).toBe(3);
    expect(write(5)).toBe(5);
  });

  it('refuses a gap and an overlap', () => {
    const write = writer(new ProducerState(systemClock));
    write(0, { records: 3 });
    expect(() => write(4)).toThrow(expect.objectContaining({ code: 'OUT_OF_ORDER_SEQUENCE_NUMBER' }));
    expect(() => write(2)).toThrow(expect.objectContaining({ code: 'OUT_OF_ORDER_SEQUENCE_NUMBER' }));
    expect(() => write(0, { records: 2 })).toThrow(expect.objectContaining({ code: 'OUT_OF_ORDER_SEQUENCE_NUMBER' }));
    expect(write(3)).toBe(3);
  });

  it('remembers five batches a producer', () => {
    const write = writer(new ProducerState(systemClock));
    for (let sequence = 0; sequence < 6; sequence++) write(sequence);
    for (let sequence = 1; sequence < 6; sequence++) expect(write(sequence)).toBe(sequence);
    expect(() => write(0)).toThrow(expect.objectContaining({ code: 'OUT_OF_ORDER_SEQUENCE_NUMBER' }));
  });

  it('goes on from 2^31 - 1 to 0', () => {
    const write = writer(new ProducerState(systemClock));
    write(MAX - 1, { records: 2 });
    expect(write(0)).toBe(2);
    expect(write(1)).toBe(3);
    expect([addSequence(MAX, 1), addSequence(MAX - 1, 3), subtractSequence(0, 1), subtractSequence(1, 3)]).toEqual([
      0,
      1,
      MAX,
      MAX - 1,
    ]);
  });

  it('finds a retry of a batch whose sequences wrap', () => {
    const write = writer(new ProducerState(systemClock));
    write(MAX - 1, { records: 4 });
    expect(write(2)).toBe(4);
    expect(write(MAX - 1, { records: 4 })).toBe(0);
  });

  it('takes a new epoch only from sequence 0, and no older epoch after it', () => {
    const write = writer(new ProducerState(systemClock));
    write(0);
    expect(() => write(1, { epoch: 1 })).toThrow(expect.objectContaining({ code: 'OUT_OF_ORDER_SEQUENCE_NUMBER' }));
    expect(write(0, { epoch: 1 })).toBe(1);
    expect(() => write(1, { epoch: 0 })).toThrow(expect.objectContaining({ code: 'INVALID_PRODUCER_EPOCH' }));
    expect(write(1, { epoch: 1 })).toBe(2);
  });

  it('lets a producer that it does not know begin anywhere, as Kafka does', () => {
    const write = writer(new ProducerState(systemClock));
    expect(write(41)).toBe(0);
    expect(write(42)).toBe(1);
  });

  it('checks several batches of one append against each other', () => {
    const state = new ProducerState(systemClock);
    expect(state.check([header(0, { records: 2 }), header(2)])).toBeNull();
    expect(() => state.check([header(0, { records: 2 }), header(3)])).toThrow(
      expect.objectContaining({ code: 'OUT_OF_ORDER_SEQUENCE_NUMBER' }),
    );
  });

  it('comes back from a snapshot with the whole window', () => {
    const before = new ProducerState(systemClock);
    const write = writer(before);
    for (let sequence = 0; sequence < 14; sequence += 2) write(sequence, { records: 2 });
    write(0, { producerId: 9, epoch: 3 });
    const after = new ProducerState(systemClock);
    after.restore(before.snapshot());
    for (const sequence of [4, 6, 8, 10, 12]) {
      expect(after.check([header(sequence, { records: 2 })])?.firstOffset).toBe(sequence);
    }
    expect(after.check([header(14)])).toBeNull();
    expect(after.get(9)).toEqual(before.get(9));
  });

  it('refuses a damaged snapshot', () => {
    const state = new ProducerState(systemClock);
    state.batch(header(0));
    const snapshot = state.snapshot();
    snapshot[20] = (snapshot[20] ?? 0) ^ 1;
    expect(() => decodeProducerSnapshot(snapshot)).toThrow(/CRC/);
    expect(() => decodeProducerSnapshot(state.snapshot().subarray(0, 5))).toThrow(/not a producer snapshot/);
  });

  it('forgets producers that are silent for too long', async () => {
    const clock = new ManualClock();
    const state = new ProducerState(clock);
    state.batch(header(0, { producerId: 1 }));
    await clock.advance(1000);
    state.batch(header(0, { producerId: 2 }));
    state.expire(clock.now() - 500);
    expect([state.get(1), state.get(2)?.producerId]).toEqual([undefined, 2]);
  });
});
