import { describe, expect, test } from 'vitest';
import { duration, formatDuration, formatSize, parseDuration, parseSize, size } from '../../../core/base/units.ts';

describe('sizes', () => {
  test.each([
    ['64MiB', 67108864],
    ['1.5GB', 1_500_000_000],
    ['100Gi', 107374182400],
    ['500', 500],
    ['7b', 7],
    ['1kib', 1024],
  ])('%s is %i bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test.each(['', 'MiB', '-1', '5 0', '1e3', '5XB', '9999999999TiB', '1..5KB'])('"%s" is no size', text => {
    expect(parseSize(text)).toBeNull();
  });

  test('a schema takes texts and bare numbers and holds its bounds', () => {
    expect(size().parse('2KiB')).toBe(2048);
    expect(size().parse(2048)).toBe(2048);
    expect(size({ unbounded: true }).parse(-1)).toBe(-1);
    expect(size().safeParse(-1).success).toBe(false);
    expect(size().safeParse(true).success).toBe(false);
    expect(size({ min: 1024 }).safeParse('1B').error?.issues[0]?.message).toBe('must be at least 1KiB');
    expect(size({ max: 1024 }).safeParse('2KiB').error?.issues[0]?.message).toBe('must be at most 1KiB');
  });
});

describe('durations', () => {
  test.each([
    ['250ms', 250],
    ['5s', 5000],
    ['1.5h', 5_400_000],
    ['7d', 604_800_000],
    ['30', 30],
  ])('%s is %i milliseconds', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  test('a bare number counts in the unit of the key', () => {
    expect(parseDuration('30', 1000)).toBe(30_000);
    expect(duration({ bareUnitMs: 1000 }).parse(30)).toBe(30_000);
    expect(duration({ bareUnitMs: 1000 }).parse('30ms')).toBe(30);
  });

  test.each(['50 ms', '5 minutes', '-5s', 'soon'])('"%s" is no duration', text => {
    expect(duration().safeParse(text).error?.issues[0]?.message).toBe(
      'expected a duration such as "250ms", "5s" or "1h"',
    );
  });
});

test('amounts are written in the largest unit that divides them, and read back the same', () => {
  for (const bytes of [0, 1, 1023, 1024, 1048588, 67108864, 10 * 2 ** 30])
    expect(parseSize(formatSize(bytes))).toBe(bytes);
  for (const ms of [0, 1, 1000, 60_000, 90_000, 604_800_000]) expect(parseDuration(formatDuration(ms))).toBe(ms);
  expect(formatSize(67108864)).toBe('64MiB');
  expect(formatDuration(90_000)).toBe('90s');
});
