import { expect, test } from 'vitest';
import { parseExact } from '../../../connectors/bigquery/values/exact-number.ts';
import { plainDecimal, toDecimal, toFloat64, toInt64 } from '../../../connectors/bigquery/values/numbers.ts';
import { toBytes, toInterval, toJson } from '../../../connectors/bigquery/values/texts.ts';
import { dateText, toDays, toInstantText, toMicros } from '../../../connectors/bigquery/values/times.ts';
import { formatState, offsetsOf, parseState, runsOf } from '../../../connectors/bigquery/write/stream-state.ts';
import { seededRandom } from '../../../core/base/random.ts';

test('no JSON number loses a digit', () => {
  const numbers = ['9007199254740993', '-9223372036854775808', '0.30000000000000004', '1234567890.1234567890'];
  for (const digits of [...numbers, '1.2345678901234567e+30', '123456789012345678.9e-9']) {
    expect(JSON.stringify(parseExact(`{"a":[${digits}]}`))).toBe(`{"a":[${digits}]}`);
    expect(JSON.stringify(parseExact(`{"text":"1, ${digits}","a": ${digits}}`))).toBe(
      `{"text":"1, ${digits}","a":${digits}}`,
    );
    expect(JSON.stringify(parseExact(digits))).toBe(digits);
  }
  expect(toInt64(parseExact('-9223372036854775808'))).toBe(-(2n ** 63n));
  expect(toDecimal(parseExact('12345678901234567890.123456789'), { type: 'NUMERIC' })).toBe(
    '12345678901234567890.123456789',
  );
  expect(toFloat64(parseExact('0.10000000000000000555'))).toBe(0.1);
  expect(toInt64('1e3')).toBe(1000n);
});

test.each([
  ['1e3', '1000'],
  ['-1.50e-3', '-0.0015'],
  ['+007.10', '7.1'],
  ['.5', '0.5'],
  ['-0.0', '0'],
  ['123e-5', '0.00123'],
])('%s is %s written out', (text, plain) => {
  expect(plainDecimal(text)).toBe(plain);
});

test('decimals up to the last one that fits', () => {
  const nines = '9'.repeat(29);
  expect(toDecimal(`${nines}.999999999`, { type: 'NUMERIC' })).toBe(`${nines}.999999999`);
  expect(() => toDecimal(`1${'0'.repeat(29)}`, { type: 'NUMERIC' })).toThrow('out of the range');
  const most = '578960446186580977117854925043439539266.34992332820282019728792003956564819967';
  expect(toDecimal(most, { type: 'BIGNUMERIC' })).toBe(most);
  expect(toDecimal(`-${most.slice(0, -1)}8`, { type: 'BIGNUMERIC' })).toBe(`-${most.slice(0, -1)}8`);
  expect(() => toDecimal(`${most.slice(0, -1)}8`, { type: 'BIGNUMERIC' })).toThrow('out of the range');
});

test('dates and instants agree with the calendar of the runtime', () => {
  const random = seededRandom(3);
  for (let i = 0; i < 5000; i++) {
    const ms = Math.floor((random.float() * 9998 - 1969) * 365.2425 * 864e5);
    const iso = new Date(ms).toISOString();
    expect(toMicros(iso, 'seconds')).toEqual(Number.isSafeInteger(ms * 1000) ? ms * 1000 : BigInt(ms) * 1000n);
    const day = iso.slice(0, 10);
    expect(dateText(toDays(day))).toBe(day);
    expect(toInstantText(iso, 'seconds', 6)).toBe(
      `${day} ${iso.slice(11, 19)}${iso.slice(19, -1).replace(/\.?0+$/, '')}+00:00`,
    );
  }
});

test('numbers count what they are told to, to the microsecond', () => {
  expect(toMicros(1.5, 'seconds')).toBe(1_500_000);
  expect(toMicros(1_767_225_600_123, 'milliseconds')).toBe(1_767_225_600_123_000);
  expect(toMicros(7, 'microseconds')).toBe(7);
  expect(() => toMicros(0.5, 'microseconds')).toThrow('finer than microseconds');
  expect(toInstantText(-0.5, 'seconds', 6)).toBe('1969-12-31 23:59:59.5+00:00');
  expect(toInstantText(-62_135_596_799.5, 'seconds', 6)).toBe('0001-01-01 00:00:00.5+00:00');
  expect(toInstantText(parseExact('253402300799.999999'), 'seconds', 6)).toBe('9999-12-31 23:59:59.999999+00:00');
  expect(toInstantText(253_402_300_799, 'seconds', 6)).toBe('9999-12-31 23:59:59+00:00');
});

test.each([
  '2026-02-29T00:00:00Z',
  '2026-13-01T00:00:00Z',
  '2026-01-01T24:00:00Z',
  '0000-01-01',
  '2026-01-01T00:00:00 Europe/Berlin',
  '2026-01-01T00:00:00+25:00',
])('%s is no instant', text => {
  expect(() => toMicros(text, 'seconds')).toThrow('expected TIMESTAMP');
});

test('bytes, intervals and JSON', () => {
  expect(Buffer.from(toBytes('-_8')).toString('hex')).toBe('fbff');
  expect(() => toBytes('aGk=x')).toThrow('expected BYTES');
  expect(toInterval('1-2 3 4:5:6.5')).toBe('1-2 3 4:5:6.5');
  expect(toInterval('P1Y2M3DT4H')).toBe('P1Y2M3DT4H');
  expect(() => toInterval('P')).toThrow('expected INTERVAL');
  expect(toJson({ a: 10n ** 20n, b: Buffer.from('hi') })).toBe('{"a":100000000000000000000,"b":"aGk="}');
});

test('a state comes back as it was, and 1,000 rows refused in the worst pattern fit into one', () => {
  const worst = Array.from({ length: 500 }, (_, i) => 2 ** 40 + i * 2);
  const long = Array.from({ length: 1000 }, (_, i) => 2 ** 40 + i);
  for (const refused of [[], [7], [1, 2, 3, 9, 11, 12], worst, long]) {
    expect(offsetsOf(runsOf(refused))).toEqual(refused);
    const state = { stream: 'x'.repeat(80), base: 5, skip: 3, table: '1767225600000', next: 2 ** 45, refused };
    expect(parseState(formatState(state))).toEqual(state);
    expect(formatState(state).length).toBeLessThan(2900);
  }
});
