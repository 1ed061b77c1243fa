import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../core/base/logger.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { seededRandom } from '../../../core/base/random.ts';
import { encodeBatch, finishBatch, readBatchHeader } from '../../../core/engine/records.ts';
import { startDeadLetterDrain } from '../../../connectors/runtime/dead-letter-drain.ts';
import { SinkError } from '../../../connectors/runtime/sink-error.ts';
import { contextIn, record } from '../support.ts';
import { sinkBench } from './sink-bench.ts';

describe('rows that a sink refuses', () => {
  const bench = sinkBench();

  describe('refused rows', () => {
    it('become dead letters in the commit that moves the position, with all that is known of them', async () => {
      bench.connector.mood = ({ rows }) => ({
        rejected: rows.flatMap(({ record: { value } }, row) =>
          String(Buffer.from(value ?? [])).startsWith('bad')
            ? [{ row, code: 'NOT_A_NUMBER', reason: 'n is no number' }]
            : [],
        ),
      });
      await bench.engine.ensureTopic({ name: 'orders.dead', partitions: 3 });
      const metrics = new Metrics();
      const sink = bench.start({}, metrics);
      bench.engine.append('orders.out', 0, [
        record('good'),
        record('bad1', { key: Buffer.from('k'), headers: [['h', Buffer.from('v')]] }),
        record('bad2'),
      ]);
      await bench.clock.advance(10);
      expect(bench.engine.commits.length).toBe(1);
      expect(bench.engine.commits[0]?.commit.append?.map(({ topic, partition }) => [topic, partition])).toEqual([
        ['orders.dead', 0],
      ]);
      expect(bench.position()).toBe(3n);
      const [first] = bench.engine.records('orders.dead');
      expect(first?.key).toEqual(new Uint8Array(Buffer.from('k')));
      expect(first?.headers[0]).toEqual(['h', new Uint8Array(Buffer.from('v'))]);
      expect(bench.deadLetters()).toMatchObject([
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
          at: bench.clock.now() - 5,
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
      bench.connector.mood = ({ rows }) => {
        const row = rows.findIndex(({ record: { value } }) => String(Buffer.from(value ?? [])) === 'bad');
        if (row === -1) return {};
        throw new SinkError('rejected', 'ROWS', 'nothing was written', {
          rejected: [{ row, code: 'X', reason: 'no' }],
        });
      };
      bench.start();
      bench.produce('a', 'bad', 'c');
      await bench.clock.advance(10);
      expect(bench.connector.written).toEqual(['a', 'c']);
      expect(bench.deadLetters()).toMatchObject([{ value: 'bad', code: 'X' }]);
    });

    it.each([
      ['rejected', 'first', ['bad', 'b', 'c', 'd', 'e']],
      ['rejected', 'middle', ['a', 'b', 'bad', 'd', 'e']],
      ['schema', 'last', ['a', 'b', 'c', 'd', 'bad']],
      ['too-large', 'two neighbours', ['a', 'bad', 'bad', 'd', 'e']],
      ['rejected', 'all', ['bad', 'bad', 'bad', 'bad', 'bad']],
    ] as const)('of a batch refused whole (%s) are found by halving: %s', async (kind, _, values) => {
      bench.connector.mood = ({ rows }) => {
        if (rows.some(({ record: { value } }) => String(Buffer.from(value ?? [])) === 'bad')) {
          throw new SinkError(kind, 'REFUSED', 'one of these rows is wrong');
        }
        return {};
      };
      bench.start();
      bench.produce(...values);
      await bench.clock.advance(10);
      expect(bench.connector.written).toEqual(values.filter(value => value !== 'bad'));
      expect(bench.deadLetters().map(({ offset }) => offset)).toEqual(
        values.flatMap((value, offset) => (value === 'bad' ? [offset] : [])),
      );
      expect(bench.engine.commits.length).toBe(1);
      expect(bench.position()).toBe(5n);
    });

    it('tell the writer of a half where its position would be', async () => {
      bench.connector.mood = ({ rows }) => {
        if (rows.length > 1) throw new SinkError('too-large', 'TOO_LARGE', 'one at a time');
        return {};
      };
      bench.start();
      bench.produce('a', 'b');
      await bench.clock.advance(10);
      expect(bench.connector.calls.map(({ values, next }) => [values, next])).toEqual([
        [['a', 'b'], 2n],
        [['a'], 1n],
        [['b'], 2n],
      ]);
    });

    it('that are large come out compressed, and are cut only when their topic takes no more', async () => {
      bench.connector.mood = ({ rows }) => ({ rejected: rows.map((_, row) => ({ row, code: 'NO', reason: 'no' })) });
      bench.engine.mostBatchBytes = 100_000;
      const soft = 'x'.repeat(1_000_000);
      const hard = Buffer.alloc(200_000);
      seededRandom(1).fill(hard);
      bench.start();
      bench.produce(soft);
      await bench.clock.advance(10);
      bench.engine.append('orders.out', 0, [record(null, { value: hard })]);
      await bench.clock.advance(10);
      expect(bench.position()).toBe(2n);
      const [first, second] = bench.engine.records('orders.dead');
      expect(first?.value?.length).toBe(1_000_000);
      expect(Buffer.from(second?.value ?? [])).toEqual(hard.subarray(0, 65536));
      expect(bench.deadLetters()[1]?.reason).toBe(
        'no (200000 bytes are cut to 65536: the topic takes no larger letter)',
      );
    });

    it('of the dead-letter drain stay in their topic and make no new letters', async () => {
      await bench.engine.ensureTopic({ name: 'orders.dead', partitions: 1 });
      bench.engine.append('orders.dead', 0, [record('x'), record('y')]);
      bench.connector.mood = ({ rows }) => ({
        rejected: rows.length === 2 ? [{ row: 0, code: 'NO', reason: 'no' }] : [],
      });
      const metrics = new Metrics();
      const drain = startDeadLetterDrain({
        engine: bench.engine,
        pipeline: 'orders',
        topic: 'orders.dead',
        connector: bench.connector,
        config: {},
        context: contextIn('/', bench.clock),
        metrics,
        logger: silentLogger,
        clock: bench.clock,
        random: seededRandom(1),
      });
      bench.running.push(drain);
      await bench.clock.advance(100);
      expect(bench.connector.written).toEqual(['y']);
      expect(bench.engine.position('millstream.orders.dead_letter', 'orders.dead', 0)?.next).toBe(2n);
      expect(bench.engine.records('orders.dead').length).toBe(2);
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
    bench.engine.appendBatch({ topic: 'orders.out', partition: 0, batch: damaged });
    bench.produce('z');
    const sink = bench.start();
    await bench.clock.advance(10);
    expect(bench.connector.written).toEqual(['z']);
    expect(bench.deadLetters()).toMatchObject([{ code: 'CORRUPT_BATCH', offset: 0 }]);
    expect(bench.engine.records('orders.dead')[0]?.value?.length).toBe(80);
    expect(bench.position()).toBe(6n);
    expect(sink.status().counts).toMatchObject({ in: 2, written: 1, rejected: 1 });
  });
});
