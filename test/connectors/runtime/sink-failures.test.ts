import { describe, expect, it } from 'vitest';
import { Metrics } from '../../../core/base/metrics.ts';
import { SinkError } from '../../../connectors/runtime/sink-error.ts';
import { settle } from '../manual-clock.ts';
import { record } from '../support.ts';
import { GROUP, sinkBench } from './sink-bench.ts';

describe('a sink that fails', () => {
  const bench = sinkBench();

  describe('errors that pass', () => {
    it.each(['transient', 'throttled', 'auth'] as const)(
      'of kind %s are tried again for ever and cost no row',
      async kind => {
        let left = 50;
        bench.connector.mood = () => {
          if (left-- > 0) throw new SinkError(kind, 'NOT_NOW', 'the warehouse is closed');
          return {};
        };
        const sink = bench.start({ retry: { attempts: 3, fromMs: 100, toMs: 1000, onExhausted: 'dead_letter' } });
        bench.produce('a', 'b');
        await bench.clock.advance(1000);
        expect(sink.status()).toMatchObject({ state: 'degraded' });
        expect(sink.status().reason).toContain('the warehouse is closed');
        await bench.clock.advance(60_000);
        expect(bench.connector.written).toEqual(['a', 'b']);
        expect(bench.connector.calls.at(-1)?.attempt).toBe(51);
        expect(sink.status()).toMatchObject({
          state: 'idle',
          reason: null,
          counts: { retries: 50, written: 2, rejected: 0 },
        });
        expect(bench.deadLetters()).toEqual([]);
      },
    );

    it('wait at least as long as the system asks for', async () => {
      let first = true;
      bench.connector.mood = () => {
        if (!first) return {};
        first = false;
        throw new SinkError('throttled', 'SLOW_DOWN', 'later', { retryAfterMs: 30_000 });
      };
      bench.start();
      bench.produce('a');
      await bench.clock.advance(29_999);
      expect(bench.connector.calls.length).toBe(1);
      await bench.clock.advance(1000);
      expect(bench.connector.written).toEqual(['a']);
    });

    it('hold up one partition and not the other', async () => {
      await bench.engine.ensureTopic({ name: 'orders.two', partitions: 2 });
      bench.connector.mood = (_, partition) => {
        if (partition === 0) throw new SinkError('transient', 'DOWN', 'shard 0 is down');
        return {};
      };
      const sink = bench.start({ topic: 'orders.two', batch: { records: 1, bytes: 1e6, lingerMs: 0 } });
      bench.engine.append('orders.two', 0, [record('stuck')]);
      for (let i = 0; i < 5; i++) bench.engine.append('orders.two', 1, [record(`free${i}`)]);
      await bench.clock.advance(1000);
      expect(bench.connector.written).toEqual(['free0', 'free1', 'free2', 'free3', 'free4']);
      expect(bench.engine.position(GROUP, 'orders.two', 1)?.next).toBe(5n);
      expect(sink.status()).toMatchObject({ state: 'degraded', lag: 1 });
    });
  });

  describe('errors that nobody can classify', () => {
    const broken = (): never => {
      throw new TypeError('undefined is not a table');
    };

    it('stall the sink after the allowed tries, and it still recovers', async () => {
      bench.connector.mood = broken;
      const sink = bench.start({ retry: { attempts: 3, fromMs: 10, toMs: 100, onExhausted: 'wait' } });
      bench.produce('a');
      await bench.clock.advance(1000);
      expect(sink.status()).toMatchObject({ state: 'stalled' });
      expect(sink.status().reason).toContain('undefined is not a table');
      expect(bench.position()).toBeUndefined();
      bench.connector.mood = () => ({});
      await bench.clock.advance(1000);
      expect(sink.status()).toMatchObject({ state: 'idle' });
      expect(bench.connector.written).toEqual(['a']);
    });

    it('become dead letters after the allowed tries when the plan says so', async () => {
      bench.connector.mood = broken;
      bench.start({ retry: { attempts: 3, fromMs: 10, toMs: 100, onExhausted: 'dead_letter' } });
      bench.produce('a', 'b');
      await bench.clock.advance(1000);
      expect(bench.connector.calls.map(call => call.attempt)).toEqual([1, 2, 3]);
      expect(bench.deadLetters()).toMatchObject([
        { value: 'a', code: 'SINK_FAILED', reason: 'undefined is not a table' },
        { value: 'b', code: 'SINK_FAILED' },
      ]);
      expect(bench.position()).toBe(2n);
    });

    it('stop the sink after the allowed tries when the plan says so, and the position stays', async () => {
      bench.connector.mood = broken;
      const sink = bench.start({ retry: { attempts: 2, fromMs: 10, toMs: 100, onExhausted: 'stop' } });
      bench.produce('a');
      await bench.clock.advance(1000);
      expect(sink.status()).toMatchObject({ state: 'stopped' });
      expect(sink.status().reason).toContain('undefined is not a table');
      expect(bench.connector.calls.length).toBe(2);
      expect(bench.position()).toBeUndefined();
    });
  });

  it('stops at a fatal error', async () => {
    bench.connector.mood = () => {
      throw new SinkError('fatal', 'NO_SUCH_MODE', 'this cannot work');
    };
    const sink = bench.start();
    bench.produce('a');
    await bench.clock.advance(100);
    expect(sink.status()).toMatchObject({ state: 'stopped', reason: 'this cannot work (NO_SUCH_MODE)' });
  });

  it('tries to take its partitions until the system is there', async () => {
    let left = 3;
    bench.connector.onAcquire = () => {
      if (left-- > 0) throw new SinkError('auth', 'NO_TOKEN', 'the token is expired');
    };
    const sink = bench.start({ retry: { attempts: 1, fromMs: 100, toMs: 100, onExhausted: 'stop' } });
    bench.produce('a');
    await settle();
    expect(sink.status()).toMatchObject({ state: 'degraded', reason: 'the token is expired (NO_TOKEN)' });
    await bench.clock.advance(1000);
    expect(bench.connector.written).toEqual(['a']);
  });

  it('reports lag, age and results as metrics', async () => {
    const metrics = new Metrics();
    bench.connector.mood = () => {
      throw new SinkError('transient', 'DOWN', 'down');
    };
    bench.start({ retry: { attempts: 1, fromMs: 1000, toMs: 1000, onExhausted: 'wait' } }, metrics);
    bench.engine.append('orders.out', 0, [record('a', { timestamp: bench.clock.now() })]);
    await bench.clock.advance(30_000);
    expect(metrics.toPrometheus()).toContain('millstream_sink_lag_records{pipeline="orders",sink="lake"} 1\n');
    expect(metrics.toPrometheus()).toContain('millstream_sink_lag_seconds{pipeline="orders",sink="lake"} 30\n');
    expect(metrics.toPrometheus()).toMatch(
      /millstream_sink_retries_total\{pipeline="orders",sink="lake",kind="transient"\} \d+/,
    );
    bench.connector.mood = () => ({});
    await bench.clock.advance(1000);
    expect(metrics.toPrometheus()).toContain('millstream_sink_lag_records{pipeline="orders",sink="lake"} 0\n');
    expect(metrics.toPrometheus()).toContain(
      'millstream_sink_records_total{pipeline="orders",sink="lake",result="written"} 1\n',
    );
  });
});
