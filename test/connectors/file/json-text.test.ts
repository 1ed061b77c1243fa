import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import { isJsonText } from '../../../connectors/file/json-text.ts';

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe('JSON text', () => {
  it.each([
    '{}',
    '[]',
    ' [ ] ',
    '{"a":[1,{"b":null}],"c":{}}',
    '"\\u00e9\\n\\/"',
    '-0.5e+10',
    '0',
    'true',
    '\n[\t1 ,\r2 ]\n',
    '"ä"',
  ])('%j is recognised', text => {
    expect(isJsonText(Buffer.from(text))).toBe(true);
  });

  it.each([
    '',
    ' ',
    '{',
    '[1,]',
    '[,1]',
    '{"a":1,}',
    '{"a"}',
    '{a:1}',
    "{'a':1}",
    '{"a":1]',
    '01',
    '1.',
    '.5',
    '-',
    '1e',
    '+1',
    'tru',
    'NaN',
    '"\\x"',
    '"\\u12g4"',
    '"a\nb"',
    '"open',
    '1 2',
    '{}}',
    '[[]',
    '\ufeff{}',
  ])('%j is not', text => {
    expect(isJsonText(Buffer.from(text))).toBe(false);
  });

  it('is the same as what a parser takes, for 20,000 damaged texts', () => {
    const random = seededRandom(5);
    const seeds = [
      '{"id":"o-1","n":[1,-2.5e3,true,null],"s":"a\\"b\\\\c\\u0041","o":{"x":{}}}',
      '[[],{},"",0,-1,[{"a":[{}]}],"\\t"]',
      ' {"a" : 1 , "b" : [ false ] } ',
    ];
    const bytes = Buffer.from('{}[]",:\\ \n0123456789.-+eEtrufalsn/x');
    let valid = 0;
    for (let i = 0; i < 20_000; i++) {
      const text = Buffer.from(seeds[i % seeds.length] ?? '');
      for (let change = 0; change < 1 + (i % 3); change++) {
        text[Math.floor(random.float() * text.length)] = bytes[Math.floor(random.float() * bytes.length)] ?? 0;
      }
      const expected = parses(text.toString());
      if (expected) valid++;
      if (isJsonText(text) !== expected) expect(text.toString()).toBe(expected ? 'JSON' : 'no JSON');
    }
    expect(valid).toBeGreaterThan(1000);
  });

  it('may be nested a thousand deep, and no attacker can go deeper at our cost', () => {
    const nested = (depth: number): Buffer => Buffer.from('['.repeat(depth) + ']'.repeat(depth));
    expect(isJsonText(nested(1000))).toBe(true);
    expect(isJsonText(nested(1001))).toBe(false);
    expect(isJsonText(nested(1_000_000))).toBe(false);
  });
});
