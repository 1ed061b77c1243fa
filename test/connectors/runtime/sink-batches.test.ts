import { describe, expect, it } from 'vitest';
import { SinkError } from '../../../connectors/runtime/sink-error.ts';
import { HostileSink } from '../hostile-sink.ts';
import { settle } from '../manual-clock.ts';
import { until } from '../support.ts';
import { GROUP, sinkBench } from './sink-bench.ts';

describe('the batches of a sink', () => {
  const bench = sinkBench();

  describe('batches', () => {
    it('are written at once when full by rows', async () => {
      bench.start({ batch: { records: 2, bytes: 1e6, lingerMs: 60_000 } });
      bench.produce('a', 'b', 'c', 'd', 'e');
      await settle();
      expect(bench.connector.calls.map(call => call.values)).toEqual([
        ['a', 'b'],
        ['c', 'd'],
      ]);
      expect(bench.position()).toBe(4n);
    });

    it('are written at once when full by bytes, and a row larger than the limit goes alone', async () => {
      bench.start({ batch: { records: 100, bytes: 4, lingerMs: 60_000 } });
      bench.produce('aa', 'bb', 'cccccccc', 'd', 'ee');
      await settle();
      expect(bench.connector.calls.map(call => call.values)).toEqual([['aa', 'bb'], ['cccccccc']]);
    });

    it('are written when the linger time since the first row is over', async () => {
      bench.start({ batch: { records: 100, bytes: 1e6, lingerMs: 1000 } });
      bench.produce('a');
      await bench.clock.advance(600);
      bench.produce('b');
      await bench.clock.advance(399);
      expect(bench.connector.calls).toEqual([]);
      await bench.clock.advance(1);
      expect(bench.connector.calls.map(call => call.values)).toEqual([['a', 'b']]);
    });

    it("keep to the connector's own limits", async () => {
      bench.connector = new HostileSink({ maxRows: 2 });
      bench.start({ batch: { records: 100, bytes: 1e6, lingerMs: 0 } });
      bench.produce('a', 'b', 'c');
      await settle();
      expect(bench.connector.calls.map(call => call.values)).toEqual([['a', 'b'], ['c']]);
    });

    it('begin behind the committed position, also inside a stored batch', async () => {
      bench.engine.setPosition(GROUP, 'orders.out', 0, { next: 2n, state: null });
      bench.produce('a', 'b', 'c');
      const sink = bench.start({ batch: { records: 100, bytes: 1e6, lingerMs: 0 } });
      await settle();
      expect(bench.connector.written).toEqual(['c']);
      expect(sink.status().counts.in).toBe(1);
    });
  });

  it('moves the position over rows that it filters out', async () => {
    const sink = bench.start({ accepts: ({ value }) => String(Buffer.from(value ?? [])) !== 'no' });
    bench.produce('no', 'yes', 'no', 'no');
    await bench.clock.advance(10);
    expect(bench.connector.written).toEqual(['yes']);
    expect(bench.position()).toBe(4n);
    bench.produce('no');
    await bench.clock.advance(10);
    expect(bench.position()).toBe(5n);
    expect(sink.status().counts).toMatchObject({ in: 5, written: 1, filtered: 4, rejected: 0 });
  });

  it('keeps no more writes under way than the bench.connector takes, and commits in order', async () => {
    bench.connector = new HostileSink({ maxInFlight: 3 });
    const finish: (() => void)[] = [];
    bench.connector.mood = () => new Promise(resolve => finish.push(() => resolve({})));
    bench.start({ batch: { records: 1, bytes: 1e6, lingerMs: 0 } });
    bench.produce('a', 'b', 'c', 'd', 'e');
    await settle();
    expect(bench.connector.mostWriting).toBe(3);
    finish[2]?.();
    finish[1]?.();
    await settle();
    expect(bench.position()).toBeUndefined();
    finish[0]?.();
    await settle();
    expect(bench.position()).toBe(3n);
    expect(bench.engine.commits.length).toBe(1);
    for (const end of finish) end();
    await settle();
    expect(bench.position()).toBe(5n);
  });

  it('halves the window when it is throttled and widens it again', async () => {
    bench.connector = new HostileSink({ maxInFlight: 4 });
    let throttle = true;
    bench.connector.mood = async () => {
      await settle();
      if (throttle) throw new SinkError('throttled', 'SLOW_DOWN', 'too many requests', { retryAfterMs: 500 });
      return {};
    };
    bench.start({ batch: { records: 1, bytes: 1e6, lingerMs: 0 } });
    bench.produce(...Array.from({ length: 4 }, (_, i) => `a${i}`));
    await bench.clock.advance(100);
    throttle = false;
    bench.connector.mostWriting = 0;
    bench.produce(...Array.from({ length: 12 }, (_, i) => `b${i}`));
    while (bench.position() !== 16n) await bench.clock.advance(1000);
    expect(bench.connector.mostWriting).toBe(4);
    expect(bench.connector.written.length).toBe(16);
  });

  it('holds a bounded amount of rows while the system is down, and loses none', async () => {
    bench.connector.mood = () => {
      throw new SinkError('transient', 'DOWN', 'down');
    };
    const value = 'x'.repeat(8000);
    for (let i = 0; i < 60; i++) bench.produce(...Array.from({ length: 100 }, () => value));
    const sink = bench.start({
      batch: { records: 1000, bytes: 1e6, lingerMs: 10 },
      retry: { attempts: 1, fromMs: 60_000, toMs: 60_000, onExhausted: 'wait' },
    });
    await until(() => sink.status().counts.in > 3000);
    for (let i = 0; i < 20; i++) await settle();
    const held = sink.status().counts.in;
    expect(held * 8200).toBeLessThan(33 * 1024 * 1024);
    expect(held).toBeLessThan(6000);
    bench.connector.mood = () => ({});
    await bench.clock.advance(60_000);
    await until(() => sink.status().lag < 1000);
    await bench.clock.advance(10);
    expect(bench.connector.written.length).toBe(6000);
    expect(sink.status()).toMatchObject({ state: 'idle', lag: 0 });
  });
});
