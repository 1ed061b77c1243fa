import { expect, test } from 'vitest';
import { encodeBatch } from '../../../core/engine/records.ts';
import { chainOf, stepOf } from '../sandbox/guests.ts';
import { outputOf, record, TIME, taskOf, valuesOf } from '../sandbox/harness.ts';
import { dead, foreignGuests, guestNamed, output, plain, useSandbox } from './built.ts';

foreignGuests('foreign guests: Redpanda transforms built with the Rust SDK', () => {
  const { run, sandbox, lines } = useSandbox();

  /** What `mask` does, told again: serde_json's objects are ordered by key. */
  function masked(value: string, field = 'email'): string | null {
    const order = JSON.parse(value) as Record<string, unknown>;
    if (order['level'] === 'debug') return null;
    if (field in order) order[field] = '***';
    order['seen'] = true;
    return JSON.stringify(Object.fromEntries(Object.entries(order).toSorted(([a], [b]) => (a < b ? -1 : 1))));
  }

  test('map and filter: the same bytes come out whether records come one by one, in sevens or all at once', async () => {
    const values = Array.from({ length: 2100 }, (_, i) =>
      JSON.stringify({ n: i, email: `a${i}@example.com`, level: i % 3 === 0 ? 'debug' : 'info', name: 'Ünïcode "q"' }),
    );
    const expected = values.flatMap((value, i) => {
      const after = masked(value);
      return after === null ? [] : [{ key: `k${i}`, value: after, headers: [['trace', `t${i}`]], timestamp: TIME + i }];
    });
    const records = values.map((value, i) =>
      record(value, { timestamp: TIME + i, key: Buffer.from(`k${i}`), headers: [['trace', Buffer.from(`t${i}`)]] }),
    );
    for (const size of [1, 7, values.length]) {
      const lane = sandbox().openLane(chainOf([stepOf(guestNamed('redpanda-mask'))]));
      const tasks = [];
      for (let at = 0; at < records.length; at += size) {
        tasks.push(lane.run(taskOf([encodeBatch(records.slice(at, at + size), { baseOffset: at })])));
      }
      const results = await Promise.all(tasks);
      await lane.close();
      expect(plain(results.flatMap(result => outputOf(result)))).toEqual(expected);
      const steps = results.map(({ steps: [step] }) => step);
      expect(steps.reduce((sum, step) => sum + (step?.dropped ?? 0), 0)).toBe(700);
    }
  });

  test("the step's config is the environment, beside the topics; the machine's own is not there", async () => {
    const config = { MASK_FIELD: 'name', LIMIT: 5, ON: true, LIST: [1, 'two'], TABLE: { a: 1 } };
    const result = await run('redpanda-mask', ['{"name":"Ada","email":"a@b.c"}'], { config });
    expect(output(result)[0]?.value).toBe(masked('{"name":"Ada","email":"a@b.c"}', 'name'));
    const [told] = output(await run('redpanda-environment', ['x'], { config }));
    const said = JSON.parse(told?.value ?? '') as Record<string, unknown>;
    expect(said['env']).toEqual({
      MASK_FIELD: 'name',
      LIMIT: '5',
      ON: 'true',
      LIST: '[1,"two"]',
      TABLE: '{"a":1}',
      REDPANDA_INPUT_TOPIC: 'orders.in',
      REDPANDA_OUTPUT_TOPIC_0: 'orders.out',
      REDPANDA_OUTPUT_TOPIC_1: 'orders.suspect',
    });
    expect(said['args']).toEqual(['step']);
  });

  test('the clock is the time of the record, sleeping takes no time, randomness depends on the record, and there are no files', async () => {
    const started = performance.now();
    const [first, second] = await Promise.all([
      run('redpanda-environment', ['x', 'y'], { timeMs: 5000 }),
      run('redpanda-environment', ['x', 'y'], { timeMs: 5000 }),
    ]);
    // Two times two hours, if it had slept.
    expect(performance.now() - started).toBeLessThan(60_000);
    expect(output(second)).toEqual(output(first));
    const said = output(first).map(({ value }) => JSON.parse(value ?? '') as Record<string, unknown>);
    expect(said.map(each => each['now'])).toEqual([TIME, TIME + 1]);
    // The hour that it slept, in microseconds, and a millisecond from one look to the next.
    expect(said.map(each => [each['elapsed'], each['file'], each['written']])).toEqual([
      [3_600_001_000, false, false],
      [3_600_001_000, false, false],
    ]);
    expect(said[0]?.['random']).not.toBe(said[1]?.['random']);
  });

  test('a record goes to each topic that it is written to; a topic that is none of the outputs is an error of the record', async () => {
    const result = await run('redpanda-route', ['-', 'orders.suspect,-', 'nowhere', 'suspect', 'orders.out', '']);
    expect(output(result, 0).map(each => each.value)).toEqual(['-', '-', 'orders.out']);
    expect(output(result, 1).map(each => each.value)).toEqual(['orders.suspect', 'suspect']);
    expect(dead(result)).toEqual([
      { offset: 102, code: 'PANIC', value: 'nowhere', reason: expect.stringContaining('Unknown(-3)') },
    ]);
    expect(result.steps[0]).toMatchObject({ in: 6, emitted: 4, dropped: 1, dead: 1, out: 5 });
  });

  test('a transform of ABI 1 runs too', async () => {
    expect(guestNamed('redpanda-abi1')).toMatchObject({ abi: 'redpanda', form: 'ABI 1' });
    const result = await run('redpanda-abi1', ['a', null, 'bad', 'c']);
    expect(valuesOf(outputOf(result))).toEqual(['a', null, 'c']);
    expect(dead(result)).toMatchObject([
      { offset: 102, code: 'PANIC', reason: expect.stringContaining('failed: Error') },
    ]);
  });

  test('in a chain, the default output is the next step; what goes to another topic leaves', async () => {
    const steps = [stepOf(guestNamed('redpanda-route')), stepOf(guestNamed('redpanda-shape'), { name: 'second' })];
    const lane = sandbox().openLane(chainOf(steps));
    const result = await lane.run(taskOf([encodeBatch([record('-,orders.suspect')])]));
    await lane.close();
    expect(output(result, 1).map(each => each.value)).toEqual(['orders.suspect']);
    expect(output(result, 0).map(each => JSON.parse(each.value ?? '') as unknown)).toEqual([
      { key: null, value: '2d', headers: [], timestamp: TIME },
    ]);
  });

  test('keys, headers and tombstones are handed over and taken back as they are', async () => {
    const key = Buffer.from('k');
    const headers = [
      ['a', Buffer.from('1')],
      ['a', null],
      ['', Buffer.alloc(0)],
    ] as const;
    const given = ['describe', null, 'tombstone', 'keyless', 'headers', 'twice'].map((value, i) =>
      record(value, { key: i === 1 ? Buffer.alloc(0) : key, headers: i < 2 ? headers : [], timestamp: TIME + i }),
    );
    const result = await run('redpanda-shape', given);
    const hexHeaders = [
      ['61', '31'],
      ['61', null],
      ['', ''],
    ];
    const said = (more: object): string =>
      // Ordered as serde_json orders.
      JSON.stringify({ headers: hexHeaders, ...more });
    expect(output(result)).toEqual([
      {
        key: 'k',
        value: said({ key: '6b', timestamp: TIME, value: Buffer.from('describe').toString('hex') }),
        headers: [],
        timestamp: TIME,
      },
      { key: '', value: said({ key: '', timestamp: TIME + 1, value: null }), headers: [], timestamp: TIME + 1 },
      { key: 'k', value: null, headers: [], timestamp: TIME + 2 },
      { key: null, value: '', headers: [], timestamp: TIME + 3 },
      {
        key: 'k',
        value: 'headers',
        headers: [
          ['', 'no name'],
          ['empty', ''],
          ['null', null],
          ['twice', '1'],
          ['twice', '2'],
        ],
        timestamp: TIME + 4,
      },
      { key: 'k', value: 'twice', headers: [], timestamp: TIME + 5 },
      { key: 'k', value: 'twice', headers: [], timestamp: TIME + 5 },
    ]);
  });

  test('whatever a record does to the transform is a dead letter of that record, and the others go on', async () => {
    const values = [
      'a',
      'error 1',
      'b',
      'panic 2',
      'exit',
      'c',
      'loop',
      'd',
      'memory',
      'e',
      'deep',
      'f',
      'flood',
      'partial',
      'g',
    ];
    const result = await run('redpanda-trouble', values);
    // The number counts the records that the instance has seen: a fresh one takes over behind each offender.
    expect(valuesOf(outputOf(result))).toEqual(['a 1', 'b 1', 'c 1', 'd 1', 'e 1', 'f 1', 'g 1']);
    const says = (code: string, value: string, reason: string) => ({
      offset: 100 + values.indexOf(value),
      code,
      value,
      reason: expect.stringContaining(reason),
    });
    expect(dead(result)).toEqual([
      says('PANIC', 'error 1', 'transforming record failed: Bad("error 1")'),
      says('PANIC', 'panic 2', 'cannot bear panic 2'),
      says('EXITED', 'exit', 'exit code 7'),
      says('TIMEOUT', 'loop', 'more than 100 ms'),
      says('MEMORY_LIMIT', 'memory', 'ran out of memory'),
      says('STACK_OVERFLOW', 'deep', 'nest too deeply'),
      says('OUTPUT_TOO_LARGE', 'flood', '1048576 bytes'),
      says('PANIC', 'partial', 'Bad("partial")'),
    ]);
    expect(result.steps[0]).toMatchObject({ in: 15, emitted: 7, dropped: 0, dead: 8, out: 7 });
  });

  test('globals live from batch to batch, one instance for each partition', async () => {
    const module = guestNamed('redpanda-trouble');
    const chain = chainOf([stepOf(module)]);
    const lanes = [0, 1].map(partition => sandbox().openLane({ ...chain, source: { ...chain.source, partition } }));
    const counts: (string | null)[] = [];
    for (const lane of [lanes[0], lanes[0], lanes[1], lanes[0]]) {
      const result = await lane?.run(taskOf([encodeBatch([record('x')])]));
      counts.push(...valuesOf(result ? outputOf(result) : []));
    }
    await Promise.all(lanes.map(lane => lane.close()));
    expect(counts).toEqual(['x 1', 'x 2', 'x 1', 'x 3']);
  });

  test('on_error says what becomes of a record that fails', async () => {
    const values = ['a', 'error', 'b'];
    expect(valuesOf(outputOf(await run('redpanda-trouble', values, { onError: 'drop' })))).toEqual(['a 1', 'b 1']);
    const passed = await run('redpanda-trouble', values, { onError: 'pass' });
    expect(valuesOf(outputOf(passed))).toEqual(['a 1', 'error', 'b 1']);
    const stopped = await run('redpanda-trouble', values, { onError: 'stop' });
    expect(valuesOf(outputOf(stopped))).toEqual(['a 1']);
    expect(stopped.stopped).toMatchObject({ offset: 101, code: 'PANIC' });
  });

  test('what it prints is logged line by line, what a failed call printed is not', async () => {
    lines.length = 0;
    await run('redpanda-trouble', ['log 1', 'x']);
    await run('redpanda-trouble', ['partial']);
    expect(lines).toEqual(['info out: log 1', 'warn err: log 1', 'info no newline between']);
  });

  test('a transform that panics or ends before it asks for a record does not start, and its reason is told', async () => {
    const module = guestNamed('redpanda-trouble');
    const chain = (config: object) => chainOf([stepOf(module, { config })]);
    await expect(sandbox().probe(chain({ REFUSE: '1' }))).rejects.toMatchObject({
      code: 'MODULE_INIT_FAILED',
      message: expect.stringContaining('REFUSE is set'),
    });
    await expect(sandbox().probe(chain({ LEAVE: '1' }))).rejects.toMatchObject({
      code: 'MODULE_INIT_FAILED',
      message: expect.stringContaining('ended by itself'),
    });
    await sandbox().probe(chain({}));
  });

  test('the schema registry answers from the schemas that there are', async () => {
    const avro = {
      id: 7,
      subject: 'orders-value',
      version: 1,
      type: 'avro',
      text: '{"type":"string"}',
      references: [],
    } as const;
    const references = [{ name: 'common.proto', subject: 'common', version: 3 }];
    const proto = {
      id: 300,
      subject: 'orders-value',
      version: 2,
      type: 'protobuf',
      text: 'syntax = "proto3";',
      references,
    } as const;
    const questions = [
      'id 7',
      'id 300',
      'id 8',
      'latest orders-value',
      'version orders-value 1',
      'version orders-value 9',
      'latest nothing',
      'create orders-value avro {"type":"string"}',
      'create orders-value avro {"type":"int"}',
    ];
    const result = await run('redpanda-registry', questions, {
      schemas: [avro, { ...proto, references }],
    });
    const said = output(result).map(({ value }) => JSON.parse(value ?? '') as unknown);
    const avroSaid = { format: 'Avro', text: avro.text, references: [] };
    const protoSaid = { format: 'Protobuf', text: proto.text, references: [['common.proto', 'common', 3]] };
    const missing = { error: expect.stringContaining('-2') };
    expect(said).toEqual([
      avroSaid,
      protoSaid,
      missing,
      { id: 300, version: 2, subject: 'orders-value', schema: protoSaid },
      { id: 7, version: 1, subject: 'orders-value', schema: avroSaid },
      missing,
      missing,
      { id: 7 },
      missing,
    ]);
    const [without] = output(await run('redpanda-registry', ['id 7']));
    expect(without?.value).toContain('errno: -1');
  });
});
