import { describe, expect, test } from 'vitest';
import { compileWhen, type Condition, conditionSchema } from '../../../etl/definition/when.ts';

const record = (
  value: unknown,
  headers: Record<string, string | null> = {},
  key: string | null = null,
): Parameters<ReturnType<typeof compileWhen>>[0] => ({
  offset: 0,
  timestamp: 0,
  key: key === null ? null : Buffer.from(key),
  value: value === null ? null : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
  headers: Object.entries(headers).map(([name, text]) => [name, text === null ? null : Buffer.from(text)]),
});

const accepts = (condition: Condition, ...given: Parameters<typeof record>): boolean =>
  compileWhen(conditionSchema.parse(condition), 'orders')(record(...given));

describe('headers, keys and topics are text', () => {
  test.each<[Condition, Record<string, string | null>, boolean]>([
    [{ header: 'tier', equals: 'gold' }, { tier: 'gold' }, true],
    [{ header: 'tier', equals: 'gold' }, { tier: 'Gold' }, false],
    [{ header: 'tier', equals: 'gold' }, {}, false],
    [{ header: 'n', equals: 5 }, { n: '5' }, true],
    [{ header: 'n', in: ['4', 5] }, { n: '5' }, true],
    [{ header: 'n', in: ['4'] }, { n: '5' }, false],
    [{ header: 'n', prefix: 'ab' }, { n: 'abc' }, true],
    [{ header: 'n', gte: 5 }, { n: '10' }, true],
    [{ header: 'n', gte: '5' }, { n: '10' }, false],
    [{ header: 'n', gte: 5, lte: 7 }, { n: '7.5' }, false],
    [{ header: 'n', gte: 0 }, { n: '' }, false],
    [{ header: 'n', gte: 0 }, { n: 'many' }, false],
    [{ header: 'n', exists: true }, { n: null }, true],
    [{ header: 'n', exists: false }, { n: null }, false],
    [{ header: 'n', exists: false }, {}, true],
    [{ header: 'n', equals: '' }, { n: null }, false],
  ])('%j on %j: %s', (condition, headers, expected) => {
    expect(accepts(condition, 'x', headers)).toBe(expected);
  });

  test('of several headers of one name the last counts', () => {
    const twice = { ...record('x'), headers: [['t', Buffer.from('a')] as const, ['t', Buffer.from('b')] as const] };
    expect(compileWhen({ header: 't', equals: 'b' }, 'orders')(twice)).toBe(true);
    expect(compileWhen({ header: 't', equals: 'a' }, 'orders')(twice)).toBe(false);
  });

  test('keys and topics', () => {
    expect(accepts({ key: true, prefix: 'eu-' }, 'x', {}, 'eu-1')).toBe(true);
    expect(accepts({ key: true, exists: true }, 'x')).toBe(false);
    expect(accepts({ topic: true, equals: 'orders' }, 'x')).toBe(true);
    expect(accepts({ topic: true, equals: 'other' }, 'x')).toBe(false);
  });
});

describe('JSON values have types', () => {
  const order = { total: { eur: 100 }, tags: ['a', 'b'], paid: true, note: null, 'a/b': 1, 'm~n': 2, '': 3 };
  test.each<[Condition, boolean]>([
    [{ json: '/total/eur', gte: 100 }, true],
    [{ json: '/total/eur', gte: 100.5 }, false],
    [{ json: '/total/eur', lte: 99 }, false],
    [{ json: '/total/eur', equals: 100 }, true],
    [{ json: '/total/eur', equals: '100' }, false],
    [{ json: '/total/eur', gte: '99.5' }, true],
    [{ json: '/total/eur', gte: '101' }, false],
    [{ json: '/total/eur', gte: 'a' }, false],
    [{ json: '/tags/0', gte: 'a', lte: 'b' }, true],
    [{ json: '/paid', equals: true }, true],
    [{ json: '/paid', gte: 0 }, false],
    [{ json: '/tags/1', in: ['b', 'c'] }, true],
    [{ json: '/tags/01', exists: true }, false],
    [{ json: '/tags/length', exists: true }, false],
    [{ json: '/note', exists: true }, true],
    [{ json: '/nothing', exists: false }, true],
    [{ json: '/total/eur/deeper', exists: false }, true],
    [{ json: '/constructor', exists: true }, false],
    [{ json: '/a~1b', equals: 1 }, true],
    [{ json: '/m~0n', equals: 2 }, true],
    [{ json: '/', equals: 3 }, true],
    [{ json: '', exists: true }, true],
  ])('%j: %s', (condition, expected) => {
    expect(accepts(condition, order)).toBe(expected);
  });

  test('a value that is no JSON, or none at all, has nothing in it', () => {
    for (const value of ['{broken', null]) {
      expect(accepts({ json: '/a', exists: true }, value)).toBe(false);
      expect(accepts({ json: '/a', exists: false }, value)).toBe(true);
      expect(accepts({ not: { json: '/a', equals: 1 } }, value)).toBe(true);
    }
  });
});

test('any, all and not combine', () => {
  const gold: Condition = { header: 't', equals: 'gold' };
  const rich: Condition = { json: '/eur', gte: 100 };
  expect(accepts({ any: [gold, rich] }, { eur: 5 }, { t: 'gold' })).toBe(true);
  expect(accepts({ all: [gold, rich] }, { eur: 5 }, { t: 'gold' })).toBe(false);
  expect(accepts({ all: [gold, { not: rich }] }, { eur: 5 }, { t: 'gold' })).toBe(true);
  expect(accepts({ any: [{ all: [gold] }, { not: { any: [rich, gold] } }] }, { eur: 5 })).toBe(true);
});

test.each([
  [{}, 'nothing to look at'],
  [{ header: 'a' }, '`header` without a test'],
  [{ equals: 'a' }, 'nothing to look at'],
  [{ header: 'a', json: '/b', equals: 1 }, '`header` and `json` together'],
  [{ header: 'a', equals: 1, prefix: 'x' }, '`equals` and `prefix` together'],
  [{ header: 'a', equals: 1, gte: 1 }, '`equals` and `gte` together'],
  [{ any: [{ header: 'a', exists: true }], not: { header: 'b', exists: true } }, '`any` and `not` together'],
  [{ any: [{ header: 'a', exists: true }], equals: 1 }, '`equals` beside `any`'],
  [{ any: [] }, 'Too small: expected array to have >=1 items'],
  [{ key: 'x' }, 'there is one key only: write `key = true, equals = "..."`'],
  [{ json: 'total', exists: true }, 'a JSON pointer begins with a slash, such as "/total/eur"'],
])('%j is refused', (condition, message) => {
  expect(conditionSchema.safeParse(condition).error?.issues[0]?.message).toBe(message);
});
