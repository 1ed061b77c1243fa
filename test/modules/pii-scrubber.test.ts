import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../core/base/random.ts';
import { Guest, recordOf, textOf } from '../sdk/harness.ts';
import { JsonMaker } from '../sdk/random-json.ts';

/*
 * The module beside a second implementation that knows nothing of bytes: JSON.parse, a walk over values, node:crypto.
 */
const wasm = readFileSync(fileURLToPath(new URL('../../modules/pii_scrubber/pii_scrubber.wasm', import.meta.url)));

/** A name, or null for `*`. */
type Path = readonly (string | null)[];
type Method = 'mask' | 'sha256' | 'remove';
interface Config {
  method: Method;
  salt: string;
  keep: number;
}
const REMOVED = Symbol('removed');
/** A hash that cannot be computed from values alone: the text of an object or array. */
const HASHED = '(64 hex digits)';

/** A number with the text that it had. */
class Literal {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}
const parse = (json: string): unknown =>
  JSON.parse(json, (_, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' ? new Literal(context?.source ?? '') : value,
  );

function scrub(value: unknown, paths: readonly Path[], config: Config): unknown {
  if (paths.some(path => path.length === 0)) return replaced(value, config);
  const below = (key: string): Path[] =>
    paths.filter(([name]) => name === null || name === key).map(path => path.slice(1));
  if (Array.isArray(value)) {
    return value.map((each, i) => scrub(each, below(String(i)), config)).filter(each => each !== REMOVED);
  }
  if (typeof value !== 'object' || value === null || value instanceof Literal) return value;
  const entries = Object.entries(value).map(([key, each]) => [key, scrub(each, below(key), config)] as const);
  return Object.fromEntries(entries.filter(([, each]) => each !== REMOVED));
}

function replaced(value: unknown, { method, salt, keep }: Config): unknown {
  if (method === 'remove') return REMOVED;
  if (value === null) return null;
  if (method === 'mask') {
    const characters = typeof value === 'string' ? Array.from(value.toWellFormed()) : [];
    return keep > 0 && characters.length >= 2 * keep ? `***${characters.slice(-keep).join('')}` : '***';
  }
  if (typeof value === 'object' && !(value instanceof Literal)) return HASHED;
  const text = value instanceof Literal ? value.text : typeof value === 'string' ? value : JSON.stringify(value);
  return createHash('sha256').update(salt).update(text).digest('hex');
}

/** The module's answer with what only it can know left out. */
const comparable = (json: string, expected: unknown): unknown =>
  JSON.stringify(expected)?.includes(HASHED) ? withoutHashes(parse(json), expected) : parse(json);

function withoutHashes(value: unknown, expected: unknown): unknown {
  if (expected === HASHED && typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)) return HASHED;
  if (Array.isArray(value) && Array.isArray(expected)) return value.map((each, i) => withoutHashes(each, expected[i]));
  if (typeof value !== 'object' || value === null || value instanceof Literal) return value;
  const wanted = expected as Record<string, unknown> | undefined;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withoutHashes(each, wanted?.[key])]));
}

const NAMES = ['a', 'b', 'email', 'customer', 'items', '0', '1', '', 'a.b', '*', 'é', null, null, null];
const textOfPath = (path: Path): string =>
  path.map(name => (name === null ? '*' : name.replace(/[\\.]/g, '\\$&').replace(/^\*$/, '\\*'))).join('.');

describe('pii_scrubber beside a second implementation', () => {
  it.each(['mask', 'sha256', 'remove'] as const)('does the same by %s to 4,000 random documents', method => {
    const random = seededRandom(method.length);
    const maker = new JsonMaker(random, { spaces: true, escapes: true, doubles: true });
    let changed = 0;
    const wrong: unknown[] = [];
    for (let round = 0; round < 40; round++) {
      const paths: Path[] = Array.from({ length: 1 + maker.below(4) }, () =>
        Array.from({ length: 1 + maker.below(3) }, () => maker.pick(NAMES)),
      ).filter(path => textOfPath(path) !== '');
      if (paths.length === 0) paths.push(['email']);
      const config: Config = { method, salt: maker.pick(['', 'pepper', 'sälz']), keep: maker.below(4) };
      const guest = new Guest(wasm);
      expect(guest.init({ ...config, fields: paths.map(textOfPath) })).toBe(0);
      const documents = Array.from({ length: 100 }, () => maker.document());
      const emitted = guest.process(documents.map(json => recordOf(json)));
      expect(guest.failures).toEqual([]);
      documents.forEach((json, i) => {
        const out = textOf(emitted[i]) ?? '';
        const before = parse(json);
        const expected = scrub(before, paths, config);
        const found = comparable(out, expected);
        if (!isDeepStrictEqual(found, expected)) wrong.push({ json, paths, config, out, expected });
        if (JSON.stringify(expected) !== JSON.stringify(before)) changed++;
      });
    }
    expect(wrong).toEqual([]);
    expect(changed).toBeGreaterThan(500);
  });

  it('leaves what no path names as it is, byte for byte', () => {
    const maker = new JsonMaker(seededRandom(77), { spaces: true, escapes: true, doubles: true });
    const guest = new Guest(wasm);
    expect(guest.init({ fields: ['nowhere', 'items.*.nowhere', 'customer.*.*.*.*.*.nowhere'] })).toBe(0);
    const documents = Array.from({ length: 500 }, () => maker.document());
    expect(guest.process(documents.map(json => recordOf(json))).map(textOf)).toEqual(documents);
  });

  it('gives the same for a record whatever was handled before it', () => {
    const maker = new JsonMaker(seededRandom(21), { spaces: true, escapes: true, doubles: true });
    const documents = Array.from({ length: 300 }, (_, i) => (i % 7 === 0 ? '{"broken' : maker.document()));
    const config = { fields: ['*.*', 'customer'], method: 'sha256', salt: 's' };
    const run = (order: number[]): (string | null)[] => {
      const guest = new Guest(wasm);
      expect(guest.init(config)).toBe(0);
      const emitted = guest.process(order.map(i => recordOf(documents[i] ?? '')));
      const byDocument = new Map(emitted.map(each => [order[each.input], textOf(each)]));
      return documents.map((_, i) => byDocument.get(i) ?? null);
    };
    const inOrder = documents.map((_, i) => i);
    expect(run(inOrder.toReversed())).toEqual(run(inOrder));
  });

  it('scrubs more values in one record than it has seen before', () => {
    const guest = new Guest(wasm);
    expect(guest.init({ fields: ['*'], method: 'sha256' })).toBe(0);
    const [emitted] = guest.process([recordOf(JSON.stringify(Array.from({ length: 20_000 }, () => 1)))]);
    const hash = createHash('sha256').update('1').digest('hex');
    expect(textOf(emitted)).toBe(JSON.stringify(Array.from({ length: 20_000 }, () => hash)));
  });

  it('refuses what is not JSON wherever it breaks, and emits nothing of it', () => {
    const whole = '{"customer":{"email":"ada@example.com"},"items":[{"owner":"ada"}]}';
    const guest = new Guest(wasm);
    expect(guest.init({ fields: ['customer.email', 'items.*.owner'] })).toBe(0);
    const cuts = Array.from({ length: whole.length }, (_, i) => recordOf(whole.slice(0, i)));
    expect(guest.process([...cuts, recordOf(whole)])).toHaveLength(1);
    expect(guest.failures.map(({ index, code }) => [index, code])).toEqual(cuts.map((_, i) => [i, 'INVALID_JSON']));
    const positions = guest.failures.map(({ text }) => Number(/at byte (\d+)/.exec(text)?.[1]));
    positions.forEach((position, i) => expect(position).toBeLessThanOrEqual(i));
  });
});
