import { beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../core/base/random.ts';
import { compileFixture } from './fixture.ts';
import { Guest, type InputRecord, recordOf, textOf } from './harness.ts';
import { JsonMaker } from './random-json.ts';

let wasm: Uint8Array;
let guest: Guest;
beforeAll(async () => {
  wasm = await compileFixture({ debug: true });
  guest = new Guest(wasm);
  expect(guest.init({})).toBe(0);
}, 60_000);

const ask = (op: string, json: string | Uint8Array, headers: Record<string, string> = {}): InputRecord =>
  recordOf(null, {
    key: Buffer.from(`json ${op}`),
    value: typeof json === 'string' ? Buffer.from(json) : json,
    headers: Object.entries(headers).map(([key, value]) => [key, Buffer.from(value)]),
  });

/** What the module answers; the code and sentence of a failure otherwise. */
function answer(op: string, json: string | Uint8Array, headers?: Record<string, string>): string | null {
  const [emitted] = guest.process([ask(op, json, headers)]);
  const [failure] = guest.failures.splice(0);
  return failure ? `${failure.code} ${failure.text}` : textOf(emitted);
}

const accepts = (bytes: Uint8Array): boolean => {
  try {
    JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
    return true;
  } catch {
    return false;
  }
};

describe('JSON in a module', () => {
  it.each([
    ['', 0, 'a value', 'the end'],
    ['  ', 2, 'a value', 'the end'],
    ['{"a":1', 6, "',' or '}'", 'the end'],
    ['{"a":1]', 6, "',' or '}'", "']'"],
    ['[1 2]', 3, "',' or ']'", "'2'"],
    ['[1,]', 3, 'a value', "']'"],
    ['{"a":1,}', 7, 'a key', "'}'"],
    ['{a:1}', 1, 'a key', "'a'"],
    ['{"a" 1}', 5, "':'", "'1'"],
    ['{"a":}', 5, 'a value', "'}'"],
    ['"abc', 4, 'a closing quote', 'the end'],
    ['"a long string that does not end', 32, 'a closing quote', 'the end'],
    ['"a\nb"', 2, 'no control character', 'byte 0x0a'],
    ['"a\\x"', 3, 'one of "\\/bfnrtu', "'x'"],
    ['"\\u12g4"', 5, 'a hex digit', "'g'"],
    ['"\\u12', 5, 'a hex digit', 'the end'],
    ['01', 1, 'the end', "'1'"],
    ['-', 1, 'a digit', 'the end'],
    ['1.', 2, 'a digit', 'the end'],
    ['1e+', 3, 'a digit', 'the end'],
    ['truth', 0, 'a value', "'t'"],
    ['nul', 0, 'a value', "'n'"],
    ['{} {}', 3, 'the end', "'{'"],
    ['\ufeff1', 0, 'a value', 'byte 0xef'],
  ])('finds what is wrong with %j', (json, at, expected, got) => {
    expect(answer('get', json)).toBe(`INVALID_JSON at byte ${at}: expected ${expected}, got ${got}`);
  });

  it('refuses bytes that are not UTF-8, wherever the string is cut', () => {
    const bad = ['80', 'c0af', 'c3', 'e0809f', 'eda080', 'f0808080', 'f4908080', 'f5808080', 'ff', 'e282', 'f09f98'];
    for (const hex of bad) {
      for (const before of [0, 1, 14, 15, 16, 40]) {
        const bytes = Buffer.concat([Buffer.from(`"${'x'.repeat(before)}`), Buffer.from(hex, 'hex'), Buffer.from('"')]);
        expect(answer('get', bytes)).toContain(`INVALID_JSON at byte ${before + 1}: expected UTF-8`);
      }
    }
  });

  it('accepts 1,000 levels, and refuses more without running out of stack', () => {
    const nested = (levels: number): string => '['.repeat(levels) + '1'.repeat(levels > 0 ? 1 : 0) + ']'.repeat(levels);
    expect(answer('kind', nested(1000))).toBe('array');
    expect(answer('kind', nested(1001))).toBe("INVALID_JSON at byte 1000: expected at most 1000 levels, got '['");
    expect(answer('kind', '{"a":'.repeat(100_000))).toContain('INVALID_JSON');
  });

  it('accepts exactly what JSON.parse accepts, of 6,000 documents and what damage makes of them', () => {
    const random = seededRandom(11);
    const maker = new JsonMaker(random, { spaces: true, escapes: true, doubles: true });
    const texts: Uint8Array[] = [];
    for (let i = 0; i < 2000; i++) {
      const whole = Buffer.from(maker.document());
      const damaged = Buffer.from(whole);
      if (damaged.length > 0)
        damaged[maker.below(damaged.length)] = maker.pick([0, 0x22, 0x5c, 0x7d, 0x5d, 0x2c, 0x31, 0x80, 0x20]);
      texts.push(whole, damaged, whole.subarray(0, maker.below(whole.length + 1)));
    }
    guest.failures.length = 0;
    guest.process(texts.map(text => ask('get', text)));
    const refused = new Set(guest.failures.splice(0).map(({ index }) => index));
    const wrong = texts.filter((text, i) => refused.has(i) === accepts(text)).map(text => Buffer.from(text).toString());
    expect(wrong).toEqual([]);
    expect(refused.size).toBeGreaterThan(1000);
  });

  it('finds values by path as JSON.parse would, the last of keys that occur twice', () => {
    const json = '{"a":{"b":[{"c":1},{"c":"x"}]}, "a.b":2, "a":{"b":[10,{"c":"ok\\n"}],"*":7,"0":8}}';
    const paths: [string, string | null][] = [
      ['a.b.1.c', '"ok\\n"'],
      ['a.b.0', '10'],
      ['a.b.2', null],
      ['a.b.x', null],
      ['a.0', '8'],
      ['a\\.b', '2'],
      ['a.\\*', '7'],
      ['a.*', '7'],
      ['', null],
      ['a.b.0.c', null],
    ];
    for (const [path, raw] of paths) expect(answer('get', json, { path })).toBe(raw);
    expect(answer('literal', '{"customer":{"email":"a@b"},"items":[{},{"sku":"s"}]}')).toBe('a@b s');
    expect(answer('literal', '{"customer":{"email":"c@d"},"items":[{},{"sku":"t"}]}')).toBe('c@d t');
  });

  it('knows kinds, keys and lengths', () => {
    const json = '{"o":{"x":1,"\\u0079":2},"a":[1,[2,3],{}],"s":"","n":-1,"t":true,"f":false,"z":null,"e":{},"l":[]}';
    const kinds = { o: 'object', a: 'array', s: 'string', n: 'number', t: 'true', f: 'false', z: 'null', q: 'nothing' };
    for (const [path, kind] of Object.entries(kinds)) expect(answer('kind', json, { path })).toBe(kind);
    const keys = { o: 'x|y/0', a: '/3', e: '/0', l: '/0', n: '/0', q: '/0' };
    for (const [path, wanted] of Object.entries(keys)) expect(answer('keys', json, { path })).toBe(wanted);
    expect(answer('text', json, { path: 'q' })).toBe('(nothing)');
    expect(answer('text', json, { path: 'a' })).toBe('[1,[2,3],{}]');
  });

  it('compares a string with a text: escapes, prefixes, other kinds', () => {
    const same: [json: string, text: string][] = [
      ['"gold"', 'gold'],
      ['"g\\u006fld"', 'gold'],
      ['""', ''],
      ['"é😀x"', 'é😀x'],
      ['"\\u00e9"', 'é'],
    ];
    const different: [json: string, text: string][] = [
      ['"gold"', 'gol'],
      ['"gold"', 'golds'],
      ['"gold"', ''],
      ['""', 'x'],
      ['"é"', 'e'],
      ['"xé"', 'xè'],
      ['"x"', 'xé'],
      ['7', '7'],
      ['null', 'null'],
    ];
    for (const [json, text] of same) expect([json, answer('is', json, { with: text })]).toEqual([json, 'yes']);
    for (const [json, text] of different) expect([json, answer('is', json, { with: text })]).toEqual([json, 'no']);
  });

  it('decodes and quotes text as JavaScript does', () => {
    const random = seededRandom(5);
    const maker = new JsonMaker(random, { spaces: false, escapes: true, doubles: false });
    for (let i = 0; i < 500; i++) {
      const json = maker.value(0);
      const parsed: unknown = JSON.parse(json);
      if (typeof parsed !== 'string') continue;
      expect(answer('text', json)).toBe(parsed.toWellFormed());
      expect(answer('quote', json)).toBe(JSON.stringify(parsed.toWellFormed()));
    }
    const controls = Array.from({ length: 0x20 }, (_, i) => String.fromCharCode(i)).join('');
    expect(answer('quote', JSON.stringify(controls))).toBe(JSON.stringify(controls));
  });

  it('reads numbers to the nearest double, and writes them as JSON.stringify does', () => {
    const random = seededRandom(9);
    const texts = ['0', '-0.5', '1e3', '123456789012345678901234567890', '0.1', '9007199254740993', '2.5E-3'];
    for (let i = 0; i < 300; i++)
      texts.push((random.float() * 1e6).toFixed(i % 9), String(Math.floor(random.float() * 2 ** 53)));
    for (const text of texts) {
      const found = Number(answer('number', text));
      const wanted = Number(text);
      if (/e/i.test(text) || text.length > 17)
        expect(Math.abs(found - wanted)).toBeLessThanOrEqual(Math.abs(wanted) * 1e-15);
      else expect(found).toBe(wanted);
    }
    expect(['7', '-12', '1.50', '1e400', '"7"'].map(text => answer('number', text))).toEqual([
      '7',
      '-12',
      '1.5',
      'null',
      'null',
    ]);
  });

  it('sets a value: in place, as a new member, or with the objects that are missing', () => {
    const cases: [json: string, path: string, out: string][] = [
      ['{"a":1,"b":2}', 'a', '{"a":NEW,"b":2}'],
      ['{ "a" : {"b": "x"} }', 'a.b', '{ "a" : {"b": NEW} }'],
      ['{"a":1,"a":2}', 'a', '{"a":1,"a":NEW}'],
      ['{"a":1 }', 'c', '{"a":1 ,"c":NEW}'],
      ['{}', 'c', '{"c":NEW}'],
      ['{ }', 'a.b.c', '{ "a":{"b":{"c":NEW}}}'],
      ['[1,[2,3]]', '1.0', '[1,[NEW,3]]'],
      ['[1]', '3', '[1]'],
      ['{"a":"text"}', 'a.b', '{"a":"text"}'],
      ['{"x":0}', 'say "hi"', '{"x":0,"say \\"hi\\"":NEW}'],
    ];
    for (const [json, path, out] of cases) {
      expect(answer('set', json, { path, with: '{"new":[1]}' })).toBe(out.replace('NEW', '{"new":[1]}'));
    }
  });

  it('removes a member or element with one comma, and every one of a key that occurs twice', () => {
    const cases: [json: string, path: string, out: string][] = [
      ['{"a":1,"b":2,"c":3}', 'a', '{"b":2,"c":3}'],
      ['{"a":1,"b":2,"c":3}', 'b', '{"a":1,"c":3}'],
      ['{"a":1, "b":2 }', 'b', '{"a":1 }'],
      ['{ "a" : 1 }', 'a', '{  }'],
      ['{"a":1,"b":2,"a":3}', 'a', '{"b":2}'],
      ['{"a":[1,2,3]}', 'a.0', '{"a":[2,3]}'],
      ['{"a":[1,2,3]}', 'a.2', '{"a":[1,2]}'],
      ['{"a":[1]}', 'a.1', '{"a":[1]}'],
      ['{"a":1}', 'b.c', '{"a":1}'],
      ['7', 'a', '7'],
    ];
    for (const [json, path, out] of cases) expect(answer('remove', json, { path })).toBe(out);
  });

  it('reads text that ends where the memory ends', () => {
    const small = new Guest(wasm);
    expect(small.init({})).toBe(0);
    for (let length = 100; length < 70_000; length += 977) {
      const json = JSON.stringify('x'.repeat(length));
      expect(small.process([ask('get', json)]).map(textOf)).toEqual([json]);
    }
  });
});
