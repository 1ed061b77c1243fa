import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MillstreamError } from '../../../core/base/errors.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { fromDeadRecord } from '../../../core/engine/dead-letter.ts';
import { encodeBatch, finishBatch, readBatchHeader } from '../../../core/engine/records.ts';
import { startDeadLetterDrain } from '../../../connectors/runtime/dead-letter-drain.ts';
import { SinkError } from '../../../connectors/runtime/sink-error.ts';
import type { RunningSink, SinkRunPlan } from '../../../connectors/runtime/sink-runtime.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { seededRandom } from '../../../core/base/random.ts';
import { HostileSink } from '../hostile-sink.ts';
import { ManualClock, settle } from '../manual-clock.ts';
import { MemoryEngine } from '../memory-engine.ts';
import { contextIn, record, runSink, until } from '../support.ts';

const GROUP = 'millstream.orders.lake';

describe('the sink runtime', () => {
  let engine: MemoryEngine;
  let clock: ManualClock;
  let connector: HostileSink;
  const running: RunningSink[] = [];

  beforeEach(async () => {
    engine = new MemoryEngine();
    clock = new ManualClock();
    connector = new HostileSink();
    await engine.ensureTopic({ name: 'orders.out', partitions: 1 });
  });
  afterEach(async () => {
    for (const sink of running.splice(0)) {
      const stopped = sink.stop();
      await clock.advance(60_000);
      await stopped;
    }
  });

  const start = (plan: Partial<SinkRunPlan> = {}, metrics?: Metrics): RunningSink => {
    const sink = runSink({ engine, connector, config: {}, clock, plan, ...(metrics ? { metrics } : {}) });
    running.push(sink);
    return sink;
  };
  const produce = (...values: string[]): void =>
    engine.append(
      'orders.out',
      0,
      values.map(value => record(value)),
    );
  const position = (partition = 0): bigint | undefined => engine.position(GROUP, 'orders.out', partition)?.next;
  const deadLetters = () =>
    engine
      .records('orders.dead')
      .map(dead => ({ ...fromDeadRecord(dead), value: String(Buffer.from(dead.value ?? [])) }));

  describe('batches', () => {
    it('are written at once when full by rows', async () => {
      start({ batch: { records: 2, bytes: 1e6, lingerMs: 60_000 } });
      produce('a', 'b', 'c', 'd', 'e');
      await settle();
      expect(connector.calls.map(call => call.values)).toEqual([
        ['a', 'b'],
        ['c', 'd'],
      ]);
      expect(position()).toBe(4n);
    });

    it('are written at once when full by bytes, and a row larger than the limit goes alone', async () => {
      start({ batch: { records: 100, bytes: 4, lingerMs: 60_000 } });
      produce('aa', 'bb', 'cccccccc', 'd', 'ee');
      await settle();
      expect(connector.calls.map(call => call.values)).toEqual([['aa', 'bb'], ['cccccccc']]);
    });

    it('are written when the linger time since the first row is over', async () => {
      start({ batch: { records: 100, bytes: 1e6, lingerMs: 1000 } });
      produce('a');
      await clock.advance(600);
      produce('b');
      await clock.advance(399);
      expect(connector.calls).toEqual([]);
      await clock.advance(1);
      expect(connector.calls.map(call => call.values)).toEqual([['a', 'b']]);
    });

    it("keep to the connector's own limits", async () => {
      connector = new HostileSink({ maxRows: 2 });
      start({ batch: { records: 100, bytes: 1e6, lingerMs: 0 } });
      produce('a', 'b', 'c');
      await settle();
      expect(connector.calls.map(call => call.values)).toEqual([['a', 'b'], ['c']]);
    });

    it('begin behind the committed position, also inside a stored batch', async () => {
      engine.setPosition(GROUP, 'orders.out', 0, { next: 2n, state: null });
      produce('a', 'b', 'c');
      const sink = start({ batch: { records: 100, bytes: 1e6, lingerMs: 0 } });
      await settle();
      expect(connector.written).toEqual(['c']);
      expect(sink.status().counts.in).toBe(1);
    });
  });

  it('moves the position over rows that it filters out', async () => {
    const sink = start({ accepts: ({ value }) => String(Buffer.from(value ?? [])) !== 'no' });
    produce('no', 'yes', 'no', 'no');
    await clock.advance(10);
    expect(connector.written).toEqual(['yes']);
    expect(position()).toBe(4n);
    produce('no');
    await clock.advance(10);
    expect(position()).toBe(5n);
    expect(sink.status().counts).toMatchObject({ in: 5, written: 1, filtered: 4, rejected: 0 });
  });

  it('keeps no more writes under way than the connector takes, and commits in order', async () => {
    connector = new HostileSink({ maxInFlight: 3 });
    const finish: (() => void)[] = [];
    connector.mood = () => new Promise(resolve => finish.push(() => resolve({})));
    start({ batch: { records: 1, bytes: 1e6, lingerMs: 0 } });
    produce('a', 'b', 'c', 'd', 'e');
    await settle();
    expect(connector.mostWriting).toBe(3);
    finish[2]?.();
    finish[1]?.();
    await settle();
    expect(position()).toBeUndefined();
    finish[0]?.();
    await settle();
    expect(position()).toBe(3n);
    expect(engine.commits.length).toBe(1);
    for (const end of finish) end();
    await settle();
    expect(position()).toBe(5n);
  });

  it('halves the window when it is throttled and widens it again', async () => {
    connector = new HostileSink({ maxInFlight: 4 });
    let throttle = true;
    connector.mood = async () => {
      await settle();
      if (throttle) throw new SinkError('throttled', 'SLOW_DOWN', 'too many requests', { retryAfterMs: 500 });
      return {};
    };
    start({ batch: { records: 1, bytes: 1e6, lingerMs: 0 } });
    produce(...Array.from({ length: 4 }, (_, i) => `a${i}`));
    await clock.advance(100);
    throttle = false;
    connector.mostWriting = 0;
    produce(...Array.from({ length: 12 }, (_, i) => `b${i}`));
    while (position() !== 16n) await clock.advance(1000);
    expect(connector.mostWriting).toBe(4);
    expect(connector.written.length).toBe(16);
  });

  describe('errors that pass', () => {
    it.each(['transient', 'throttled', 'auth'] as const)(
      'of kind %s are tried again for ever and cost no row',
      async kind => {
        let left = 50;
        connector.mood = () => {
          if (left-- > 0) throw new SinkError(kind, 'NOT_NOW', 'the warehouse is closed');
          return {};
        };
        const sink = start({ retry: { attempts: 3, fromMs: 100, toMs: 1000, onExhausted: 'dead_letter' } });
        produce('a', 'b');
        await clock.advance(1000);
        expect(sink.status()).toMatchObject({ state: 'degraded' });
        expect(sink.status().reason).toContain('the warehouse is closed');
        await clock.advance(60_000);
        expect(connector.written).toEqual(['a', 'b']);
        expect(connector.calls.at(-1)?.attempt).toBe(51);
        expect(sink.status()).toMatchObject({
          state: 'idle',
          reason: null,
          counts: { retries: 50, written: 2, rejected: 0 },
        });
        expect(deadLetters()).toEqual([]);
      },
    );

    it('wait at least as long as the system asks for', async () => {
      let first = true;
      connector.mood = () => {
        if (!first) return {};
        first = false;
        throw new SinkError('throttled', 'SLOW_DOWN', 'later', { retryAfterMs: 30_000 });
      };
      start();
      produce('a');
      await clock.advance(29_999);
      expect(connector.calls.length).toBe(1);
      await clock.advance(1000);
      expect(connector.written).toEqual(['a']);
    });

    it('hold up one partition and not the other', async () => {
      await engine.ensureTopic({ name: 'orders.two', partitions: 2 });
      connector.mood = (_, partition) => {
        if (partition === 0) throw new SinkError('transient', 'DOWN', 'shard 0 is down');
        return {};
      };
      const sink = start({ topic: 'orders.two', batch: { records: 1, bytes: 1e6, lingerMs: 0 } });
      engine.append('orders.two', 0, [record('stuck')]);
      for (let i = 0; i < 5; i++) engine.append('orders.two', 1, [record(`free${i}`)]);
      await clock.advance(1000);
      expect(connector.written).toEqual(['free0', 'free1', 'free2', 'free3', 'free4']);
      expect(engine.position(GROUP, 'orders.two', 1)?.next).toBe(5n);
      expect(sink.status()).toMatchObject({ state: 'degraded', lag: 1 });
    });
  });

  describe('errors that nobody can classify', () => {
    const broken = (): never => {
      throw new TypeError('undefined is not a table');
    };

    it('stall the sink after the allowed tries, and it still recovers', async () => {
      connector.mood = broken;
      const sink = start({ retry: { attempts: 3, fromMs: 10, toMs: 100, onExhausted: 'wait' } });
      produce('a');
      await clock.advance(1000);
      expect(sink.status()).toMatchObject({ state: 'stalled' });
      expect(sink.status().reason).toContain('undefined is not a table');
      expect(position()).toBeUndefined();
      connector.mood = () => ({});
      await clock.advance(1000);
      expect(sink.status()).toMatchObject({ state: 'idle' });
      expect(connector.written).toEqual(['a']);
    });

    it('become dead letters after the allowed tries when the plan says so', async () => {
      connector.mood = broken;
      start({ retry: { attempts: 3, fromMs: 10, toMs: 100, onExhausted: 'dead_letter' } });
      produce('a', 'b');
      await clock.advance(1000);
      expect(connector.calls.map(call => call.attempt)).toEqual([1, 2, 3]);
      expect(deadLetters()).toMatchObject([
        { value: 'a', code: 'SINK_FAILED', reason: 'undefined is not a table' },
        { value: 'b', code: 'SINK_FAILED' },
      ]);
      expect(position()).toBe(2n);
    });

    it('stop the sink after the allowed tries when the plan says so, and the position stays', async () => {
      connector.mood = broken;
      const sink = start({ retry: { attempts: 2, fromMs: 10, toMs: 100, onExhausted: 'stop' } });
      produce('a');
      await clock.advance(1000);
      expect(sink.status()).toMatchObject({ state: 'stopped' });
      expect(sink.status().reason).toContain('undefined is not a table');
      expect(connector.calls.length).toBe(2);
      expect(position()).toBeUndefined();
    });
  });

  it('stops at a fatal error', async () => {
    connector.mood = () => {
      throw new SinkError('fatal', 'NO_SUCH_MODE', 'this cannot work');
    };
    const sink = start();
    produce('a');
    await clock.advance(100);
    expect(sink.status()).toMatchObject({ state: 'stopped', reason: 'this cannot work (NO_SUCH_MODE)' });
  });

  describe('refused rows', () => {
    it('become dead letters in the commit that moves the position, with all that is known of them', async () => {
      connector.mood = ({ rows }) => ({
        rejected: rows.flatMap(({ record: { value } }, row) =>
          String(Buffer.from(value ?? [])).startsWith('bad')
            ? [{ row, code: 'NOT_A_NUMBER', reason: 'n is no number' }]
            : [],
        ),
      });
      await engine.ensureTopic({ name: 'orders.dead', partitions: 3 });
      const metrics = new Metrics();
      const sink = start({}, metrics);
      engine.append('orders.out', 0, [
        record('good'),
        record('bad1', { key: Buffer.from('k'), headers: [['h', Buffer.from('v')]] }),
        record('bad2'),
      ]);
      await clock.advance(10);
      expect(engine.commits.length).toBe(1);
      expect(engine.commits[0]?.commit.append?.map(({ topic, partition }) => [topic, partition])).toEqual([
        ['orders.dead', 0],
      ]);
      expect(position()).toBe(3n);
      const [first] = engine.records('orders.dead');
      expect(first?.key).toEqual(new Uint8Array(Buffer.from('k')));
      expect(first?.headers[0]).toEqual(['h', new Uint8Array(Buffer.from('v'))]);
      expect(deadLetters()).toMatchObject([
        {
          value: 'bad1',
          pipeline: 'orders',
          stage: 'sink',
          name: 'lake',
          topic: 'orders.out',
          partition: 0,
          offset: 1,
          sha256: null,
          code: 'NOT_A_NUMBER',
          reason: 'n is no number',
          at: clock.now() - 5,
          replays: 0,
        },
        { value: 'bad2', offset: 2 },
      ]);
      expect(sink.status().counts).toEqual({ in: 3, written: 1, filtered: 0, rejected: 2, retries: 0 });
      expect(metrics.toPrometheus()).toContain(
        'millstream_dead_letters_total{pipeline="orders",step="lake",code="NOT_A_NUMBER"} 2',
      );
    });

    it('named by an error are taken out and the rest is written again', async () => {
      connector.mood = ({ rows }) => {
        const row = rows.findIndex(({ record: { value } }) => String(Buffer.from(value ?? [])) === 'bad');
        if (row === -1) return {};
        throw new SinkError('rejected', 'ROWS', 'nothing was written', {
          rejected: [{ row, code: 'X', reason: 'no' }],
        });
      };
      start();
      produce('a', 'bad', 'c');
      await clock.advance(10);
      expect(connector.written).toEqual(['a', 'c']);
      expect(deadLetters()).toMatchObject([{ value: 'bad', code: 'X' }]);
    });

    it.each([
      ['rejected', 'first', ['bad', 'b', 'c', 'd', 'e']],
      ['rejected', 'middle', ['a', 'b', 'bad', 'd', 'e']],
      ['schema', 'last', ['a', 'b', 'c', 'd', 'bad']],
      ['too-large', 'two neighbours', ['a', 'bad', 'bad', 'd', 'e']],
      ['rejected', 'all', ['bad', 'bad', 'bad', 'bad', 'bad']],
    ] as const)('of a batch refused whole (%s) are found by halving: %s', async (kind, _, values) => {
      connector.mood = ({ rows }) => {
        if (rows.some(({ record: { value } }) => String(Buffer.from(value ?? [])) === 'bad')) {
          throw new SinkError(kind, 'REFUSED', 'one of these rows is wrong');
        }
        return {};
      };
      start();
      produce(...values);
      await clock.advance(10);
      expect(connector.written).toEqual(values.filter(value => value !== 'bad'));
      expect(deadLetters().map(({ offset }) => offset)).toEqual(
        values.flatMap((value, offset) => (value === 'bad' ? [offset] : [])),
      );
      expect(engine.commits.length).toBe(1);
      expect(position()).toBe(5n);
    });

    it('tell the writer of a half where its position would be', async () => {
      connector.mood = ({ rows }) => {
        if (rows.length > 1) throw new SinkError('too-large', 'TOO_LARGE', 'one at a time');
        return {};
      };
      start();
      produce('a', 'b');
      await clock.advance(10);
      expect(connector.calls.map(({ values, next }) => [values, next])).toEqual([
        [['a', 'b'], 2n],
        [['a'], 1n],
        [['b'], 2n],
      ]);
    });

    it('that are large come out compressed, and are cut only when their topic takes no more', async () => {
      connector.mood = ({ rows }) => ({ rejected: rows.map((_, row) => ({ row, code: 'NO', reason: 'no' })) });
      engine.mostBatchBytes = 100_000;
      const soft = 'x'.repeat(1_000_000);
      const hard = Buffer.alloc(200_000);
      seededRandom(1).fill(hard);
      start();
      produce(soft);
      await clock.advance(10);
      engine.append('orders.out', 0, [record(null, { value: hard })]);
      await clock.advance(10);
      expect(position()).toBe(2n);
      const [first, second] = engine.records('orders.dead');
      expect(first?.value?.length).toBe(1_000_000);
      expect(Buffer.from(second?.value ?? [])).toEqual(hard.subarray(0, 65536));
      expect(deadLetters()[1]?.reason).toBe('no (200000 bytes are cut to 65536: the topic takes no larger letter)');
    });

    it('of the dead-letter drain stay in their topic and make no new letters', async () => {
      await engine.ensureTopic({ name: 'orders.dead', partitions: 1 });
      engine.append('orders.dead', 0, [record('x'), record('y')]);
      connector.mood = ({ rows }) => ({
        rejected: rows.length === 2 ? [{ row: 0, code: 'NO', reason: 'no' }] : [],
      });
      const metrics = new Metrics();
      const drain = startDeadLetterDrain({
        engine,
        pipeline: 'orders',
        topic: 'orders.dead',
        connector,
        config: {},
        context: contextIn('/', clock),
        metrics,
        logger: silentLogger,
        clock,
        random: seededRandom(1),
      });
      running.push(drain);
      await clock.advance(100);
      expect(connector.written).toEqual(['y']);
      expect(engine.position('millstream.orders.dead_letter', 'orders.dead', 0)?.next).toBe(2n);
      expect(engine.records('orders.dead').length).toBe(2);
      expect(metrics.toPrometheus()).not.toContain('millstream_dead_letters_total{');
    });
  });

  it('makes a batch that cannot be decoded one dead letter with its bytes, and goes on', async () => {
    const good = encodeBatch([record('a')]);
    const damaged = finishBatch(new Uint8Array(80), 'none', {
      ...readBatchHeader(good),
      recordCount: 5,
      lastOffsetDelta: 4,
    });
    engine.appendBatch({ topic: 'orders.out', partition: 0, batch: damaged });
    produce('z');
    const sink = start();
    await clock.advance(10);
    expect(connector.written).toEqual(['z']);
    expect(deadLetters()).toMatchObject([{ code: 'CORRUPT_BATCH', offset: 0 }]);
    expect(engine.records('orders.dead')[0]?.value?.length).toBe(80);
    expect(position()).toBe(6n);
    expect(sink.status().counts).toMatchObject({ in: 2, written: 1, rejected: 1 });
  });

  describe('commits', () => {
    it('that storage refuses are tried again without writing anew', async () => {
      let refusals = 3;
      engine.beforeCommit = () => {
        if (refusals-- > 0) throw new MillstreamError('unavailable', 'KAFKA_STORAGE_ERROR', 'the disk is full');
      };
      connector.mood = () => ({ rejected: [{ row: 0, code: 'NO', reason: 'no' }] });
      const sink = start({ retry: { attempts: 1, fromMs: 100, toMs: 100, onExhausted: 'stop' } });
      produce('a', 'b');
      await clock.advance(10);
      expect(sink.status()).toMatchObject({ state: 'degraded', reason: 'the disk is full (KAFKA_STORAGE_ERROR)' });
      await clock.advance(1000);
      expect(connector.calls.length).toBe(1);
      expect(position()).toBe(2n);
      expect(deadLetters().length).toBe(1);
      expect(sink.status().state).toBe('idle');
    });

    it('carry the state with the topic id, and the next writer is given it back', async () => {
      connector = new HostileSink({ guarantee: 'exactly-once' });
      connector.mood = ({ next }) => ({ state: `row ${next}` });
      const first = start();
      produce('a');
      await clock.advance(10);
      const { topicId } = await engine.ensureTopic({ name: 'orders.out' });
      expect(engine.position(GROUP, 'orders.out', 0)?.state).toBe(`v1:${topicId}:row 1`);
      await first.stop();
      start();
      await settle();
      expect(connector.acquired.map(({ state }) => state)).toEqual([null, 'row 1']);
    });

    it('of an exactly-once sink have a state from the first on', async () => {
      connector = new HostileSink({ guarantee: 'exactly-once' });
      const first = start({ accepts: () => false });
      produce('a');
      await clock.advance(10);
      await first.stop();
      const second = start();
      await clock.advance(10);
      expect(position()).toBe(1n);
      expect(second.status().state).toBe('idle');
      expect(connector.acquired.map(({ state }) => state)).toEqual([null, null]);
    });

    it.each([
      ['a missing state', null],
      ['a state of another topic', 'v1:ffffffffffffffffffffffffffffffff:x'],
    ])('with %s stop an exactly-once sink', async (_, state) => {
      connector = new HostileSink({ guarantee: 'exactly-once' });
      engine.setPosition(GROUP, 'orders.out', 0, { next: 1n, state });
      produce('a', 'b');
      const sink = start();
      await clock.advance(10);
      expect(sink.status().state).toBe('stopped');
      expect(sink.status().reason).toContain('SINK_STATE_CONFLICT');
      expect(connector.calls).toEqual([]);
    });

    it('are refused when the state is too long, and the sink stops', async () => {
      connector.mood = () => ({ state: 'x'.repeat(3000) });
      const sink = start();
      produce('a');
      await clock.advance(10);
      expect(sink.status().reason).toContain('BAD_SINK_STATE');
      expect(position()).toBeUndefined();
    });
  });

  describe('a position outside the log', () => {
    beforeEach(() => {
      produce('a', 'b');
      produce('c');
      engine.deleteBelow('orders.out', 0, 2);
      engine.setPosition(GROUP, 'orders.out', 0, { next: 0n, state: null });
    });

    it('stalls its partition and names the lost range', async () => {
      const sink = start();
      await clock.advance(100);
      expect(sink.status()).toMatchObject({
        state: 'stalled',
        reason: 'the position 0 of orders.out/0 is outside the log: records 0 to 1 are lost',
      });
      expect(connector.calls).toEqual([]);
      expect(position()).toBe(0n);
    });

    it('is skipped when the plan says so', async () => {
      start({ onGap: 'skip' });
      await clock.advance(100);
      expect(connector.written).toEqual(['c']);
      expect(position()).toBe(3n);
    });
  });

  describe('ends', () => {
    it('by writing and committing what was read', async () => {
      const sink = start({ batch: { records: 100, bytes: 1e6, lingerMs: 3600e3 } });
      produce('a', 'b');
      await settle();
      expect(connector.calls).toEqual([]);
      await sink.stop();
      expect(connector.written).toEqual(['a', 'b']);
      expect(position()).toBe(2n);
      expect(connector.closed).toEqual(['drain']);
      expect(clock.pending).toBe(0);
    });

    it('without waiting for a system that is down', async () => {
      connector.mood = () => {
        throw new SinkError('transient', 'DOWN', 'down');
      };
      const sink = start({ retry: { attempts: 3, fromMs: 3600e3, toMs: 3600e3, onExhausted: 'wait' } });
      produce('a');
      await clock.advance(10);
      await sink.stop();
      expect(position()).toBeUndefined();
      expect(connector.closed).toEqual(['abandon']);
    });

    it('by telling a hanging write to stop after ten seconds', async () => {
      connector.mood = (_, __, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Error('told to stop')));
        });
      const sink = start();
      produce('a');
      await clock.advance(10);
      const stopped = sink.stop();
      await clock.advance(9999);
      expect(connector.writing).toBe(1);
      await clock.advance(1);
      await stopped;
      expect(connector.writing).toBe(0);
      expect(connector.closed).toEqual(['abandon']);
    });

    it('at once when the lease is lost, without committing', async () => {
      let finish = (): void => {};
      connector.mood = () => new Promise(resolve => (finish = () => resolve({})));
      start();
      produce('a');
      await clock.advance(10);
      engine.crash();
      await settle();
      finish();
      await settle();
      expect(connector.closed).toEqual(['abandon']);
      expect(position()).toBeUndefined();
    });
  });

  it('takes the partition anew when the outside system fences its writer and the lease is still its own', async () => {
    let fenced = true;
    connector.mood = () => {
      if (!fenced) return {};
      fenced = false;
      throw new SinkError('fenced', 'STREAM_FINALIZED', 'another writer closed the stream');
    };
    const sink = start();
    produce('a', 'b');
    await clock.advance(1000);
    expect(connector.acquired.length).toBe(2);
    expect(connector.closed).toEqual(['abandon']);
    expect(connector.written).toEqual(['a', 'b']);
    expect(position()).toBe(2n);
    expect(sink.status().state).toBe('idle');
  });

  it('tries to take its partitions until the system is there', async () => {
    let left = 3;
    connector.onAcquire = () => {
      if (left-- > 0) throw new SinkError('auth', 'NO_TOKEN', 'the token is expired');
    };
    const sink = start({ retry: { attempts: 1, fromMs: 100, toMs: 100, onExhausted: 'stop' } });
    produce('a');
    await settle();
    expect(sink.status()).toMatchObject({ state: 'degraded', reason: 'the token is expired (NO_TOKEN)' });
    await clock.advance(1000);
    expect(connector.written).toEqual(['a']);
  });

  it('holds a bounded amount of rows while the system is down, and loses none', async () => {
    connector.mood = () => {
      throw new SinkError('transient', 'DOWN', 'down');
    };
    const value = 'x'.repeat(8000);
    for (let i = 0; i < 60; i++) produce(...Array.from({ length: 100 }, () => value));
    const sink = start({
      batch: { records: 1000, bytes: 1e6, lingerMs: 10 },
      retry: { attempts: 1, fromMs: 60_000, toMs: 60_000, onExhausted: 'wait' },
    });
    await until(() => sink.status().counts.in > 3000);
    for (let i = 0; i < 20; i++) await settle();
    const held = sink.status().counts.in;
    expect(held * 8200).toBeLessThan(33 * 1024 * 1024);
    expect(held).toBeLessThan(6000);
    connector.mood = () => ({});
    await clock.advance(60_000);
    await until(() => sink.status().lag < 1000);
    await clock.advance(10);
    expect(connector.written.length).toBe(6000);
    expect(sink.status()).toMatchObject({ state: 'idle', lag: 0 });
  });

  it('reports lag, age and results as metrics', async () => {
    const metrics = new Metrics();
    connector.mood = () => {
      throw new SinkError('transient', 'DOWN', 'down');
    };
    start({ retry: { attempts: 1, fromMs: 1000, toMs: 1000, onExhausted: 'wait' } }, metrics);
    engine.append('orders.out', 0, [record('a', { timestamp: clock.now() })]);
    await clock.advance(30_000);
    expect(metrics.toPrometheus()).toContain('millstream_sink_lag_records{pipeline="orders",sink="lake"} 1\n');
    expect(metrics.toPrometheus()).toContain('millstream_sink_lag_seconds{pipeline="orders",sink="lake"} 30\n');
    expect(metrics.toPrometheus()).toMatch(
      /millstream_sink_retries_total\{pipeline="orders",sink="lake",kind="transient"\} \d+/,
    );
    connector.mood = () => ({});
    await clock.advance(1000);
    expect(metrics.toPrometheus()).toContain('millstream_sink_lag_records{pipeline="orders",sink="lake"} 0\n');
    expect(metrics.toPrometheus()).toContain(
      'millstream_sink_records_total{pipeline="orders",sink="lake",result="written"} 1\n',
    );
  });
});
