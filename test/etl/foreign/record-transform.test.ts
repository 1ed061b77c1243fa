import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { inspect } from '../../../etl/sandbox/inspect.ts';
import { leb } from '../../../etl/sandbox/wasm-reader.ts';
import { chainOf, moduleOf, stepOf } from '../sandbox/guests.ts';
import { batchOf, record, taskOf, TIME } from '../sandbox/harness.ts';
import { dead, foreignGuests, guestFile, output, useSandbox } from './built.ts';

const GUEST = 'record-transform';
const key = Buffer.from('k');
const headers = [
  ['trace', Buffer.from('t')],
  ['none', null],
] as const;

foreignGuests('foreign guests: the world record-transform in Rust, with wit-bindgen alone', () => {
  const { run, sandbox, lines } = useSandbox();
  const each = (...values: (string | null)[]) =>
    run(
      GUEST,
      values.map(value => record(value, { key, headers })),
    );

  test('keys, values, headers and times go in and come out', async () => {
    const all = [
      ['trace', 't'],
      ['none', null],
    ];
    const result = await each('word', 'same', 'null', 'empty', 'later', 'where', null);
    expect(output(result)).toEqual([
      { key: 'k', value: 'WORD', headers: [...all, ['seen', 'yes']], timestamp: TIME },
      { key: 'k', value: 'same', headers: all, timestamp: TIME },
      { key: null, value: null, headers: all, timestamp: TIME },
      { key: '', value: '', headers: [], timestamp: TIME },
      { key: 'k', value: 'later', headers: all, timestamp: TIME + 1 },
      { key: 'k', value: `105 ${TIME}`, headers: all, timestamp: TIME },
      { key: 'k', value: 'a tombstone', headers: all, timestamp: TIME },
    ]);
    expect(lines.some(line => line.includes('saw word'))).toBe(true);
  });

  test('a record becomes none, two, or goes to another output', async () => {
    const result = await each('drop', 'twice', 'suspect');
    expect(output(result).map(({ value }) => value)).toEqual(['twice', 'twice']);
    expect(output(result, 1).map(({ value }) => value)).toEqual(['suspect']);
    expect(result.steps[0]).toMatchObject({ in: 3, emitted: 2, dropped: 1 });
  });

  test('a failure, a trap and an unknown output cost one record each', async () => {
    const result = await each('one', 'fail', 'two', 'trap', 'three', 'nowhere', 'four');
    expect(output(result).map(({ value }) => value)).toEqual(['ONE', 'TWO', 'THREE', 'FOUR']);
    expect(dead(result)).toMatchObject([
      { offset: 101, code: 'NOT_GOOD', reason: 'it says fail', value: 'fail' },
      { offset: 103, code: 'TRAP', value: 'trap' },
      { offset: 105, code: 'UNKNOWN_OUTPUT', reason: expect.stringContaining('"nowhere"'), value: 'nowhere' },
    ]);
  });

  test('the configuration arrives, and may be refused', async () => {
    const result = await run(GUEST, ['word'], { config: { mode: 'shout' } });
    expect(output(result).map(({ value }) => value)).toEqual(['WORD!']);
    await expect(run(GUEST, ['word'], { config: { mode: 'refuse' } })).rejects.toMatchObject({
      code: 'MODULE_INIT_FAILED',
      message: expect.stringContaining('it is to be refused'),
    });
  });

  test('a wrapping as a component makes no difference', async () => {
    const core = readFileSync(guestFile(GUEST));
    const wrapped = Buffer.concat([
      Buffer.from('0061736d0d000100', 'hex'),
      Uint8Array.from([1, ...leb(core.length)]),
      core,
    ]);
    for (const bytes of [core, wrapped]) {
      expect(inspect(bytes)).toMatchObject({ abi: 'millstream-component', form: 'record-transform' });
    }
    const lane = sandbox().openLane(chainOf([stepOf(moduleOf(wrapped, 'wrapped'))]));
    const result = await lane.run(taskOf([batchOf(['word'])]));
    expect(output(result).map(({ value }) => value)).toEqual(['WORD']);
    await lane.close();
  });
});
