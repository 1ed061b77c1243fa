import { beforeEach, describe, expect, it } from 'vitest';
import { MillstreamError } from '../../../core/base/errors.ts';
import { SinkError } from '../../../connectors/runtime/sink-error.ts';
import { HostileSink } from '../hostile-sink.ts';
import { settle } from '../manual-clock.ts';
import { GROUP, sinkBench } from './sink-bench.ts';

describe('the commits of a sink', () => {
  const bench = sinkBench();

  describe('commits', () => {
    it('that storage refuses are tried again without writing anew', async () => {
      let refusals = 3;
      bench.engine.beforeCommit = () => {
        if (refusals-- > 0) throw new MillstreamError('unavailable', 'KAFKA_STORAGE_ERROR', 'the disk is full');
      };
      bench.connector.mood = () => ({ rejected: [{ row: 0, code: 'NO', reason: 'no' }] });
      const sink = bench.start({ retry: { attempts: 1, fromMs: 100, toMs: 100, onExhausted: 'stop' } });
      bench.produce('a', 'b');
      await bench.clock.advance(10);
      expect(sink.status()).toMatchObject({ state: 'degraded', reason: 'the disk is full (KAFKA_STORAGE_ERROR)' });
      await bench.clock.advance(1000);
      expect(bench.connector.calls.length).toBe(1);
      expect(bench.position()).toBe(2n);
      expect(bench.deadLetters().length).toBe(1);
      expect(sink.status().state).toBe('idle');
    });

    it('carry the state with the topic id, and the next writer is given it back', async () => {
      bench.connector = new HostileSink({ guarantee: 'exactly-once' });
      bench.connector.mood = ({ next }) => ({ state: `row ${next}` });
      const first = bench.start();
      bench.produce('a');
      await bench.clock.advance(10);
      const { topicId } = await bench.engine.ensureTopic({ name: 'orders.out' });
      expect(bench.engine.position(GROUP, 'orders.out', 0)?.state).toBe(`v1:${topicId}:row 1`);
      await first.stop();
      bench.start();
      await settle();
      expect(bench.connector.acquired.map(({ state }) => state)).toEqual([null, 'row 1']);
    });

    it('of an exactly-once sink have a state from the first on', async () => {
      bench.connector = new HostileSink({ guarantee: 'exactly-once' });
      const first = bench.start({ accepts: () => false });
      bench.produce('a');
      await bench.clock.advance(10);
      await first.stop();
      const second = bench.start();
      await bench.clock.advance(10);
      expect(bench.position()).toBe(1n);
      expect(second.status().state).toBe('idle');
      expect(bench.connector.acquired.map(({ state }) => state)).toEqual([null, null]);
    });

    it.each([
      ['a missing state', null],
      ['a state of another topic', 'v1:ffffffffffffffffffffffffffffffff:x'],
    ])('with %s stop an exactly-once sink', async (_, state) => {
      bench.connector = new HostileSink({ guarantee: 'exactly-once' });
      bench.engine.setPosition(GROUP, 'orders.out', 0, { next: 1n, state });
      bench.produce('a', 'b');
      const sink = bench.start();
      await bench.clock.advance(10);
      expect(sink.status().state).toBe('stopped');
      expect(sink.status().reason).toContain('SINK_STATE_CONFLICT');
      expect(bench.connector.calls).toEqual([]);
    });

    it('are refused when the state is too long, and the sink stops', async () => {
      bench.connector.mood = () => ({ state: 'x'.repeat(3000) });
      const sink = bench.start();
      bench.produce('a');
      await bench.clock.advance(10);
      expect(sink.status().reason).toContain('BAD_SINK_STATE');
      expect(bench.position()).toBeUndefined();
    });
  });

  describe('a position outside the log', () => {
    beforeEach(() => {
      bench.produce('a', 'b');
      bench.produce('c');
      bench.engine.deleteBelow('orders.out', 0, 2);
      bench.engine.setPosition(GROUP, 'orders.out', 0, { next: 0n, state: null });
    });

    it('stalls its partition and names the lost range', async () => {
      const sink = bench.start();
      await bench.clock.advance(100);
      expect(sink.status()).toMatchObject({
        state: 'stalled',
        reason: 'the position 0 of orders.out/0 is outside the log: records 0 to 1 are lost',
      });
      expect(bench.connector.calls).toEqual([]);
      expect(bench.position()).toBe(0n);
    });

    it('is skipped when the plan says so, and the lost range is named', async () => {
      const sink = bench.start({ onGap: 'skip' });
      await bench.clock.advance(100);
      expect(bench.errors).toEqual([
        {
          message: 'the sink went on behind a gap',
          fields: { reason: 'the position 0 of orders.out/0 is outside the log: records 0 to 1 are lost' },
        },
      ]);
      expect(sink.status().state).toBe('idle');
      expect(bench.connector.written).toEqual(['c']);
      expect(bench.position()).toBe(3n);
    });
  });

  describe('ends', () => {
    it('by writing and committing what was read', async () => {
      const sink = bench.start({ batch: { records: 100, bytes: 1e6, lingerMs: 3600e3 } });
      bench.produce('a', 'b');
      await settle();
      expect(bench.connector.calls).toEqual([]);
      await sink.stop();
      expect(bench.connector.written).toEqual(['a', 'b']);
      expect(bench.position()).toBe(2n);
      expect(bench.connector.closed).toEqual(['drain']);
      expect(bench.clock.pending).toBe(0);
    });

    it('without waiting for a system that is down', async () => {
      bench.connector.mood = () => {
        throw new SinkError('transient', 'DOWN', 'down');
      };
      const sink = bench.start({ retry: { attempts: 3, fromMs: 3600e3, toMs: 3600e3, onExhausted: 'wait' } });
      bench.produce('a');
      await bench.clock.advance(10);
      await sink.stop();
      expect(bench.position()).toBeUndefined();
      expect(bench.connector.closed).toEqual(['abandon']);
    });

    it('by telling a hanging write to stop after ten seconds', async () => {
      bench.connector.mood = (_, __, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Error('told to stop')));
        });
      const sink = bench.start();
      bench.produce('a');
      await bench.clock.advance(10);
      const stopped = sink.stop();
      await bench.clock.advance(9999);
      expect(bench.connector.writing).toBe(1);
      await bench.clock.advance(1);
      await stopped;
      expect(bench.connector.writing).toBe(0);
      expect(bench.connector.closed).toEqual(['abandon']);
    });

    it('at once when the lease is lost, without committing', async () => {
      let finish = (): void => {};
      bench.connector.mood = () => new Promise(resolve => (finish = () => resolve({})));
      bench.start();
      bench.produce('a');
      await bench.clock.advance(10);
      bench.engine.crash();
      await settle();
      finish();
      await settle();
      expect(bench.connector.closed).toEqual(['abandon']);
      expect(bench.position()).toBeUndefined();
    });
  });

  it('takes the partition anew when the outside system fences its writer and the lease is still its own', async () => {
    let fenced = true;
    bench.connector.mood = () => {
      if (!fenced) return {};
      fenced = false;
      throw new SinkError('fenced', 'STREAM_FINALIZED', 'another writer closed the stream');
    };
    const sink = bench.start();
    bench.produce('a', 'b');
    await bench.clock.advance(1000);
    expect(bench.connector.acquired.length).toBe(2);
    expect(bench.connector.closed).toEqual(['abandon']);
    expect(bench.connector.written).toEqual(['a', 'b']);
    expect(bench.position()).toBe(2n);
    expect(sink.status().state).toBe('idle');
  });
});
