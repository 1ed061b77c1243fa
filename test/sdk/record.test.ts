import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Random, seededRandom } from '../../core/base/random.ts';
import type { Header } from '../../core/log/record.ts';
import { compileModule } from '../../sdk/assemblyscript/compile.ts';
import { compileFixture } from './fixture.ts';
import { type Emitted, frameOf, Guest, type InputRecord, recordOf, textOf } from './harness.ts';

let wasm: Uint8Array;
beforeAll(async () => {
  wasm = await compileFixture();
}, 60_000);

function ready(config: unknown = {}, outputs?: string[]): Guest {
  const guest = new Guest(wasm);
  expect(guest.init(config, outputs)).toBe(0);
  return guest;
}
const op = (name: string, value: string | null = '', more: Partial<InputRecord> = {}): InputRecord =>
  recordOf(value, { key: Buffer.from(name), ...more });
const header = (key: string, value: string | null): Header => [key, value === null ? null : Buffer.from(value)];
const randomBytes = (random: Random, length: number): Buffer =>
  Buffer.from(Array.from({ length }, () => Math.floor(random.float() * 256)));
const headersOf = (record: Emitted | undefined): (string | null)[][] =>
  (record?.headers ?? []).map(([key, value]) => [key, value === null ? null : Buffer.from(value).toString()]);

describe('a module of the AssemblyScript SDK', () => {
  it('says that it reports progress, and that it takes tombstones when its author asks for them', () => {
    expect(new Guest(wasm).exports.millstream_abi_v1()).toBe(3);
  });

  it('passes a record on byte for byte, with every kind of null, empty and long part', () => {
    const random = seededRandom(7);
    const parts = [null, '', 0, 1, 15, 16, 17, 63, 64, 511, 513, 8191, 70_000].map(part =>
      typeof part === 'number' ? randomBytes(random, part) : part === null ? null : Buffer.alloc(0),
    );
    const records = parts.map((value, i) =>
      op('emit', null, {
        value,
        headers: parts.slice(0, i).map((each, k): Header => [`header ${'ü'.repeat(k)}`, each]),
      }),
    );
    const emitted = ready().process(records);
    expect(emitted).toHaveLength(records.length);
    emitted.forEach((each, i) => {
      const { key, value, headers = [] } = records[i] ?? op('');
      expect([each.input, each.route, each.timestamp]).toEqual([i, 0, null]);
      const plain = (list: readonly Header[]) => list.map(([name, part]) => [name, part && Buffer.from(part)]);
      expect([each.key, each.value, plain(each.headers)]).toEqual([key, value, plain(headers)]);
    });
  });

  it('knows offset, partition, timestamp and the configuration', () => {
    const guest = ready({ nested: { suffix: ' é"' } }, ['default', 'suspect']);
    const records = [
      op('about', '', { offset: 2 ** 40 + 3 }),
      op('about', null, { offset: 2 ** 40 + 9, timestamp: 5 }),
    ];
    const emitted = guest.process(records, 2 ** 40, 17);
    expect(emitted.map(textOf)).toEqual([
      '1099511627779 17 1700000000000 yes é"',
      '1099511627785 17 5 yes é" tombstone',
    ]);
    expect(guest.lines).toEqual(['2 configured with {"nested":{"suffix":" é\\""}}']);
  });

  it('emits a record twice, drops one, and reports progress to the last', () => {
    const guest = ready();
    const emitted = guest.process([op('twice', 'a'), op('nothing', 'b'), op('emit', 'c')]);
    expect(emitted.map(each => [each.input, textOf(each)])).toEqual([
      [0, 'a'],
      [0, 'a'],
      [2, 'c'],
    ]);
    expect(guest.progress).toBe(2);
    expect(guest.process([op('nothing')])).toEqual([]);
    expect(guest.process([])).toEqual([]);
  });

  it('routes to the outputs of the pipeline, and fails what goes to one that it does not have', () => {
    const guest = ready({}, ['default', 'suspect', 'größer']);
    const emitted = guest.process([op('route', 'größer'), op('route', 'nowhere'), op('route', 'default')]);
    expect(emitted.map(each => [each.input, each.route])).toEqual([
      [0, 2],
      [2, 0],
    ]);
    expect(guest.failures).toMatchObject([{ index: 1, code: 'UNKNOWN_OUTPUT' }]);
  });

  it('changes a draft of the record, emits it as it is at that moment, and goes back to the input', () => {
    const emitted = ready().process([op('set', 'it'), op('emit', 'next')]);
    const seen = emitted.map(each => [textOf(each), each.key && Buffer.from(each.key).toString(), each.timestamp]);
    expect(seen).toEqual([
      ['färbe it', 'set', null],
      ['färbe it', 'new key', 1_700_000_000_001],
      [null, null, 1_700_000_000_001],
      ['it', 'set', null],
      ['next', 'emit', null],
    ]);
  });

  it('replaces, adds and removes headers and keeps the others in their order', () => {
    const headers = [
      header('a', '1'),
      header('twice', 'x'),
      header('gone', 'y'),
      header('twice', 'z'),
      header('b', null),
      header('', 'no name'),
    ];
    const guest = ready();
    const emitted = guest.process([op('headers', 'v', { headers }), op('headers', 'w')]);
    expect(guest.failures).toEqual([]);
    expect(headersOf(emitted[0])).toEqual([
      ['a', '1'],
      ['b', null],
      ['', 'no name'],
      ['twice', 'once'],
      ['added', 'z!'],
      ['second', '2'],
      ['null', null],
    ]);
    expect(headersOf(emitted[1])).toContainEqual(['added', 'none!']);
    expect(emitted.map(textOf)).toEqual(['v', 'w']);
  });

  it('voids the outputs of a record that fails, and only those', () => {
    const guest = ready();
    const emitted = guest.process([op('emit', 'a'), op('fail', 'b'), op('twice', 'c'), op('fail', 'd')]);
    expect(emitted.map(textOf)).toEqual(['a', 'c', 'c']);
    expect(guest.failures).toEqual([
      { index: 1, code: 'NOT_WANTED', text: 'because of b' },
      { index: 3, code: 'NOT_WANTED', text: 'because of d' },
    ]);
  });

  it('traps when the author throws, after it has said why and where', () => {
    const guest = ready();
    expect(() => guest.process([op('emit', 'a'), op('throw', 'this')])).toThrow(/unreachable/);
    expect(guest.failures).toHaveLength(1);
    expect(guest.failures[0]).toMatchObject({ index: 1, code: 'MODULE_THREW' });
    expect(guest.failures[0]?.text).toMatch(/^cannot go on with this \(assembly\/index\.ts:\d+:\d+\)$/);
  });

  it('refuses a configuration with the reason that the author gives or throws', () => {
    const refused = new Guest(wasm);
    expect(refused.init({ refuse: 'not today' })).not.toBe(0);
    expect(refused.failures).toEqual([{ index: -1, code: 'INVALID_CONFIG', text: 'not today' }]);
    const thrown = new Guest(wasm);
    expect(() => thrown.init({ throw: true })).toThrow(/unreachable/);
    expect(thrown.failures).toMatchObject([{ index: -1, code: 'MODULE_THREW' }]);
  });

  it('hashes as node:crypto does, whatever the length', () => {
    const random = seededRandom(3);
    const lengths = [...Array.from({ length: 140 }, (_, i) => i), 1000, 65_537];
    const values = lengths.map(length => randomBytes(random, length));
    const emitted = ready().process(values.map(value => op('hash', null, { value })));
    expect(emitted.map(textOf)).toEqual(values.map(value => createHash('sha256').update(value).digest('hex')));
  });
});

describe('the memory of a module', () => {
  it('does not grow over a million records, each with garbage of its own', () => {
    const guest = ready();
    const frame = Array.from({ length: 1000 }, (_, i) => op(i % 2 === 0 ? 'garbage' : 'set', `value ${i}`));
    const bytes = frameOf(frame);
    const emitted = Buffer.from(guest.run(bytes));
    const before = guest.exports.memory.buffer.byteLength;
    for (let i = 0; i < 1000; i++) guest.run(bytes);
    expect(Buffer.from(guest.run(bytes)).equals(emitted)).toBe(true);
    expect(guest.exports.memory.buffer.byteLength).toBe(before);
    expect(before).toBeLessThan(2 ** 20);
  });

  it('lets one record become much more than came in', () => {
    const guest = ready();
    const emitted = guest.process([op('emit', 'first'), op('repeat', '30000'), op('emit', 'last')]);
    expect(emitted).toHaveLength(30_002);
    expect(textOf(emitted[0])).toBe('first');
    expect(textOf(emitted[30_000])).toBe('30000');
    expect(textOf(emitted[30_001])).toBe('last');
  });

  it('takes a record of 10 MiB after small ones and small ones after it', () => {
    const guest = ready();
    const large = 'x'.repeat(10 * 2 ** 20);
    for (const value of ['a', large, 'b']) expect(guest.process([op('emit', value)]).map(textOf)).toEqual([value]);
    expect(guest.exports.memory.buffer.byteLength).toBeLessThan(64 * 2 ** 20);
  });
});

describe('the compiler', () => {
  it('says what is wrong and where', async () => {
    await expect(compileModule('/nowhere')).rejects.toThrow(/assembly\/index/);
  });
});
