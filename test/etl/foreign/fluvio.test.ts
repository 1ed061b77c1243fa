import { expect, test } from 'vitest';
import { encodeBatch } from '../../../core/engine/records.ts';
import { chainOf, stepOf } from '../sandbox/guests.ts';
import { batchOf, outputOf, record, TIME, taskOf, valuesOf } from '../sandbox/harness.ts';
import { Committed } from '../sandbox/state/fixture.ts';
import { dead, foreignGuests, guestNamed, output, useSandbox } from './built.ts';

foreignGuests('foreign guests: Fluvio SmartModules built with the Rust SDK', () => {
  const { run, sandbox, lines } = useSandbox();

  test('filter: what is kept keeps its key, headers and time; tombstones go around it', async () => {
    const headers = [
      ['trace', Buffer.from('t')],
      ['none', null],
    ] as const;
    const given = record('banana', { key: Buffer.from('k'), headers, timestamp: 5 });
    const broken = record('', { value: Buffer.from([0x61, 0xff]) });
    const result = await run('fluvio-filter', ['abc', 'xyz', null, given, '', broken, 'a']);
    expect(output(result)).toEqual([
      { key: null, value: 'abc', headers: [], timestamp: TIME },
      { key: null, value: null, headers: [], timestamp: TIME + 2 },
      {
        key: 'k',
        value: 'banana',
        headers: [
          ['trace', 't'],
          ['none', null],
        ],
        timestamp: 5,
      },
      { key: null, value: 'a', headers: [], timestamp: TIME + 6 },
    ]);
    expect(dead(result)).toMatchObject([
      { offset: 105, code: 'FAILED', reason: expect.stringContaining('invalid utf-8') },
    ]);
    expect(result.steps[0]).toMatchObject({ in: 6, emitted: 3, dropped: 2, dead: 1 });
  });

  test('map: the guest sees key, value, offset and time, and sets key and value', async () => {
    const given = ['one', 'two'].map((value, i) =>
      record(value, { key: Buffer.from(`key${i}`), headers: [['h', Buffer.from(`${i}`)]], timestamp: TIME + i }),
    );
    const result = await run('fluvio-map', [...given, ''], { baseOffset: 5_000_000_000 });
    // Ordered as serde_json orders.
    const said = (key: string | null, offset: number, timestamp: number, value: string): string =>
      JSON.stringify({ key, offset, timestamp, value });
    expect(output(result)).toEqual([
      { key: '0yek', value: said('key0', 5_000_000_000, TIME, 'one'), headers: [['h', '0']], timestamp: TIME },
      { key: '1yek', value: said('key1', 5_000_000_001, TIME + 1, 'two'), headers: [['h', '1']], timestamp: TIME + 1 },
      { key: null, value: said(null, 5_000_000_002, TIME + 2, ''), headers: [], timestamp: TIME + 2 },
    ]);
  });

  test('filter_map: some go on changed, some are left out, some are errors', async () => {
    const result = await run('fluvio-filter_map', ['4', '5', 'x', '10', '-2']);
    expect(valuesOf(outputOf(result))).toEqual(['2', '5', '-1']);
    expect(dead(result)).toEqual([
      { offset: 102, code: 'FAILED', reason: 'invalid digit found in string', value: 'x' },
    ]);
    expect(result.steps[0]).toMatchObject({ in: 5, emitted: 3, dropped: 1, dead: 1 });
  });

  test('array_map: a record becomes none or many, with the key that each is given and the time it came with', async () => {
    const key = Buffer.from('k');
    const result = await run('fluvio-array_map', [
      record('[1,"a",{"b":2}]', { key, timestamp: 9, headers: [['h', Buffer.from('1')]] }),
      '[]',
      '7',
      record('["z"]', { timestamp: 8 }),
    ]);
    expect(output(result)).toEqual([
      { key: null, value: '1', headers: [['h', '1']], timestamp: 9 },
      { key: 'a', value: '"a"', headers: [['h', '1']], timestamp: 9 },
      { key: null, value: '{"b":2}', headers: [['h', '1']], timestamp: 9 },
      { key: 'z', value: '"z"', headers: [], timestamp: 8 },
    ]);
    expect(dead(result)).toMatchObject([{ offset: 102, code: 'FAILED', value: '7' }]);
  });

  test('aggregate: each record comes out as the sum so far, over batches, partition by partition; an error leaves it as it is', async () => {
    const lanes = [0, 1].map(partition => {
      const chain = chainOf([stepOf(guestNamed('fluvio-aggregate'))]);
      return sandbox().openLane({ ...chain, source: { ...chain.source, partition } });
    });
    const [first, second] = lanes;
    const sums = async (lane: typeof first, values: string[]) => {
      const result = await lane?.run(taskOf([batchOf(values)]));
      return valuesOf(result ? outputOf(result) : []);
    };
    expect(await sums(first, ['4', '5', 'x', '1'])).toEqual(['4', '9', '10']);
    expect(await sums(second, ['100'])).toEqual(['100']);
    expect(await sums(first, ['-10', '7'])).toEqual(['0', '7']);
    await Promise.all(lanes.map(lane => lane.close()));
  });

  test('an accumulator is state of its step: whoever takes the partition over goes on from it', async () => {
    const chain = chainOf([stepOf(guestNamed('fluvio-aggregate'), { name: 'sum' })]);
    const committed = new Committed();
    const first = sandbox().openLane(chain, committed.state);
    committed.take(await first.run(taskOf([batchOf(['4', '5'])])));
    committed.take(await first.run(taskOf([batchOf(['x', '1'])])));
    await first.close();
    expect(committed.changelog).toMatchObject({ 'v/sum/accumulator': '10' });
    const next = sandbox().openLane(chain, committed.state);
    committed.take(await next.run(taskOf([batchOf(['7'])])));
    await next.close();
    expect(committed.outputs).toEqual(['4', '9', '10', '17']);
  });

  test('init: the config is the params; what it refuses does not start, with its own reason', async () => {
    const result = await run('fluvio-init_filter', ['apple', 'plum'], { config: { key: 'pp' } });
    expect(valuesOf(outputOf(result))).toEqual(['apple']);
    const all = await run('fluvio-init_filter', ['apple', 'plum'], { config: { key: 'pp', all: true } });
    expect(valuesOf(outputOf(all))).toEqual(['apple', 'plum']);
    await expect(sandbox().probe(chainOf([stepOf(guestNamed('fluvio-init_filter'))]))).rejects.toMatchObject({
      code: 'MODULE_INIT_FAILED',
      message: expect.stringContaining('Missing param key'),
    });
  });

  test('whatever a record does to the SmartModule is a dead letter of that record, and the others go on', async () => {
    const values = ['a', 'error 1', 'b', 'panic', 'c', 'loop', 'd', 'memory', 'e'];
    const result = await run('fluvio-trouble', values);
    // The number counts the records that the instance has seen: an error ends none, anything else does.
    expect(valuesOf(outputOf(result))).toEqual(['a 1', 'b 3', 'c 1', 'd 1', 'e 1']);
    expect(dead(result)).toEqual([
      { offset: 101, code: 'FAILED', value: 'error 1', reason: 'cannot bear error 1' },
      { offset: 103, code: 'TRAP', value: 'panic', reason: expect.stringContaining('unreachable') },
      { offset: 105, code: 'TIMEOUT', value: 'loop', reason: expect.stringContaining('more than 100 ms') },
      { offset: 107, code: 'MEMORY_LIMIT', value: 'memory', reason: expect.stringContaining('ran out of memory') },
    ]);
  });

  test('a SmartModule that was built for WASI says why it panics', async () => {
    const result = await run('fluvio-trouble-wasi', ['a', 'error 1', 'panic', 'b']);
    expect(valuesOf(outputOf(result))).toEqual(['a 1', 'b 1']);
    expect(dead(result)).toMatchObject([
      { offset: 101, code: 'FAILED', reason: 'cannot bear error 1' },
      { offset: 102, code: 'PANIC', reason: expect.stringContaining('cannot bear panic') },
    ]);
  });

  test('an aggregate survives what a record does to its instance and to its thread', async () => {
    const steps = [
      stepOf(guestNamed('fluvio-aggregate'), { name: 'sum' }),
      stepOf(guestNamed('fluvio-trouble'), { name: 'trouble', timeMs: 100 }),
    ];
    const lane = sandbox().openLane(chainOf([steps[1] as (typeof steps)[0], steps[0] as (typeof steps)[0]]));
    // The second step fails on all of these: it is given what the first one has counted.
    const failing = await lane.run(taskOf([batchOf(['1', 'loop', '2'])]));
    await lane.close();
    expect(dead(failing).map(each => each.code)).toEqual(['FAILED', 'TIMEOUT', 'FAILED']);

    const alone = sandbox().openLane(chainOf(steps));
    const values = async (records: string[]) => {
      const result = await alone.run(taskOf([encodeBatch(records.map(value => record(value)))]));
      return { out: valuesOf(outputOf(result)), dead: dead(result).map(each => each.value) };
    };
    expect(await values(['1', '2', 'x'])).toEqual({ out: ['1 1', '3 2'], dead: ['x'] });
    expect(await values(['3', '4'])).toEqual({ out: ['6 3', '10 4'], dead: [] });
    await alone.close();
  });

  test('look_back: what came before is shown once before the first record, in a lane that begins in the middle', async () => {
    const steps = (lookBack: { last: number | null; ageMs: number | null }) => [
      stepOf(guestNamed('fluvio-look_back'), { lookBack }),
    ];
    const past = (values: string[]) => batchOf(values, { baseOffset: 100 });
    const peaks = async (lookBack: { last: number | null; ageMs: number | null }, from: number): Promise<unknown> => {
      const lane = sandbox().openLane(chainOf(steps(lookBack)));
      // What lies below `from` was done before.
      const result = await lane.run(taskOf([past(['50', '7', '9', '8', '10', '60'])], { from }));
      await lane.close();
      expect(result.records).toBe(106 - from);
      return valuesOf(outputOf(result));
    };
    expect(await peaks({ last: 3, ageMs: null }, 104)).toEqual(['10', '60']);
    expect(await peaks({ last: 4, ageMs: null }, 104)).toEqual(['60']);
    expect(await peaks({ last: null, ageMs: null }, 104)).toEqual(['60']);
    // A record a millisecond: of the four before offset 104, one is older than 3 ms.
    expect(await peaks({ last: null, ageMs: 3 }, 104)).toEqual(['10', '60']);
    expect(await peaks({ last: 1, ageMs: 4 }, 104)).toEqual(['10', '60']);
    expect(await peaks({ last: null, ageMs: 4 }, 104)).toEqual(['60']);
    expect(await peaks({ last: 5, ageMs: null }, 100)).toEqual(['50', '60']);
  });

  test('look_back: a fresh instance is shown the newest records, in this thread and in another', async () => {
    const step = stepOf(guestNamed('fluvio-look_back'), { lookBack: { last: 2, ageMs: null } });
    const lane = sandbox().openLane(chainOf([step]));
    const run3 = async (values: string[], baseOffset: number) => {
      const result = await lane.run(taskOf([batchOf(values, { baseOffset })]));
      return { out: valuesOf(outputOf(result)), dead: dead(result).map(each => each.value) };
    };
    expect(await run3(['90', '20', '10'], 0)).toEqual({ out: ['90'], dead: [] });
    // The thread is killed for another lane's sake, and with it this one's instance: 90 is forgotten, 20 is not.
    expect(dead(await run('fluvio-trouble', ['loop']))).toMatchObject([{ code: 'TIMEOUT' }]);
    expect(await run3(['15'], 3)).toEqual({ out: [], dead: [] });
    expect(await run3(['25', '95', 'x'], 4)).toEqual({ out: ['25', '95'], dead: ['x'] });
    // Records that look_back refuses are told and passed over.
    lines.length = 0;
    expect(dead(await run('fluvio-trouble', ['loop']))).toMatchObject([{ code: 'TIMEOUT' }]);
    expect(await run3(['94', '96'], 7)).toEqual({ out: ['96'], dead: [] });
    expect(lines.filter(line => line.includes('look_back'))).toEqual([
      'warn look_back refused the record at offset 6: invalid digit found in string',
    ]);
    await lane.close();
  });

  test('an instance is replaced before its memory is used up, since nobody frees what it gave, and nothing shows', async () => {
    const lane = sandbox().openLane(
      chainOf([
        stepOf(guestNamed('fluvio-aggregate'), { name: 'sum', memoryBytes: 4 * 1024 * 1024 }),
        stepOf(guestNamed('fluvio-init_filter'), {
          name: 'all',
          memoryBytes: 4 * 1024 * 1024,
          config: { key: '', all: 'true' },
        }),
      ]),
    );
    let sum = 0;
    lines.length = 0;
    for (let batch = 0; batch < 60; batch++) {
      const records = Array.from({ length: 1000 }, (_, i) => record(`${i % 10}`, { key: Buffer.alloc(200, 107) }));
      const result = await lane.run(taskOf([encodeBatch(records, { baseOffset: batch * 1000 })]));
      const expected = records.map((_, i) => `${(sum += i % 10)}`);
      expect(valuesOf(outputOf(result))).toEqual(expected);
      expect(result.dead).toBeNull();
    }
    await lane.close();
  });
});
