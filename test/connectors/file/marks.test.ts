import { describe, expect, it } from 'vitest';
import { decodeMarks, encodeMarks, type Mark, type Marks, newestOf } from '../../../connectors/file/marks.ts';
import { MOST_STATE_CHARACTERS } from '../../../connectors/runtime/state-frame.ts';

const marksOf = (sequence: number, files: Record<string, Mark>): Marks => ({
  sequence,
  files: new Map(Object.entries(files)),
});
const mark = (generation: number, length: number): Mark => ({ generation, length });
/** As many files as wanted, whose names share nothing but their first and last letters. */
const many = (count: number): Marks =>
  marksOf(
    7,
    Object.fromEntries(
      Array.from({ length: count }, (_, i) => [`f${String(i).padStart(5, '0')}-${'x'.repeat(20)}`, mark(0, i)]),
    ),
  );

describe('what the file sink commits of its files', () => {
  it('is a line of text with the newest file first, each path as far as it differs from the one before', () => {
    const marks = marksOf(37, { 'out/a.ndjson': mark(0, 10), 'out/b.ndjson': mark(2, 36) });
    expect(encodeMarks(marks, 1, false)).toBe('1.11|2.10.0.out/b.ndjson|0.a.4.a.ndjson');
  });

  it('names the folder, where there may be others', () => {
    const marks = { ...marksOf(37, { a: mark(0, 10) }), place: '0a1b2c3d' };
    const text = encodeMarks(marks, 1, false);
    expect(text).toBe('1.11.0a1b2c3d|0.a.0.a');
    expect(decodeMarks(text ?? '')).toEqual(marks);
    expect(newestOf([{ state: text ?? '', lasts: true }])).toMatchObject({ place: '0a1b2c3d' });
  });

  it.each([
    ['nothing', marksOf(0, {})],
    ['big numbers', marksOf(2 ** 52, { a: mark(999_999, 2 ** 53 - 1) })],
    [
      'names that are no ASCII, or hold its separators',
      marksOf(1, { 'ä|b/%41.€': mark(0, 1), 'ä|b/..x\n': mark(1, 2) }),
    ],
    ['a name that another one begins with', marksOf(1, { 'ab.c': mark(0, 1), ab: mark(0, 2), 'ab.cd': mark(0, 3) })],
  ])('comes back from the text: %s', (_, marks) => {
    const text = encodeMarks(structuredClone(marks), marks.files.size, false) ?? '';
    expect(text).toMatch(/^[\x21-\x7e]+$/);
    const back = decodeMarks(text);
    expect(back).toEqual(marks);
    expect([...back.files.keys()]).toEqual([...marks.files.keys()]);
  });

  it('leaves out the files that were touched longest ago when there is no room, and says which it has', () => {
    const marks = many(1000);
    const text = encodeMarks(marks, 3, false) ?? '';
    expect(text.length).toBeLessThanOrEqual(MOST_STATE_CHARACTERS);
    expect(text.length).toBeGreaterThan(MOST_STATE_CHARACTERS - 50);
    expect(decodeMarks(text)).toEqual(marks);
    const left = [...marks.files.keys()];
    expect(left).toEqual([...many(1000).files.keys()].slice(-left.length));
  });

  it('is refused, with nothing changed, when those that must be in it do not fit', () => {
    const marks = many(1000);
    expect(encodeMarks(marks, 500, false)).toBe(null);
    expect(marks.files.size).toBe(1000);
  });

  it('has room for what those that are about to be written to grow by', () => {
    const roomy = many(1000);
    let most = 0;
    while (encodeMarks(structuredClone(roomy), most + 1, true) !== null) most++;
    expect(most).toBeGreaterThan(20);
    const announced = many(1000);
    expect(encodeMarks(announced, most, true)).not.toBe(null);
    // However long they get by the append that was announced, and its sequence.
    const newest = [...announced.files].slice(-most);
    const grown: Marks = {
      sequence: announced.sequence + 1,
      files: new Map([
        ...announced.files,
        ...newest.map(([path, { length }]) => [path, mark(1, length + 2 ** 40)] as const),
      ]),
    };
    expect(encodeMarks(grown, most, false)).not.toBe(null);
  });

  it.each(['', '2.1', '1.', '1.1|a', '1.1|1.2.x', '1.1|!.2.0.a', '1.1|0.1.0.%zz'])('is refused as %j', text => {
    expect(() => newestOf([{ state: text, lasts: true }])).toThrow(/cannot be read/);
  });

  it('is the newest of all partitions, and lasts as long as the topic of that one', () => {
    const states = [3, 9, 5].map(sequence => ({
      state: encodeMarks(marksOf(sequence, { a: mark(0, sequence) }), 1, false) ?? '',
      lasts: sequence !== 9,
    }));
    expect(newestOf(states)).toEqual({ ...marksOf(9, { a: mark(0, 9) }), lasts: false });
    expect(newestOf([])).toEqual({ ...marksOf(0, {}), lasts: true });
  });
});
