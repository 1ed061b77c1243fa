import { describe, expect, test } from 'vitest';
import type { ColumnError } from '../../../connectors/bigquery/encode/column-error.ts';
import { jsonRow } from '../../../connectors/bigquery/encode/json-encoder.ts';
import { ProtoWriter } from '../../../connectors/bigquery/encode/proto-writer.ts';
import { RowEncoder } from '../../../connectors/bigquery/encode/row-encoder.ts';
import { columnsOfRest, type RestField } from '../../../connectors/bigquery/schema/columns.ts';
import { parseExact } from '../../../connectors/bigquery/values/exact-number.ts';
import { seededRandom } from '../../../core/base/random.ts';
import { decoderFor } from './decode-proto.ts';

const FIELDS: RestField[] = [
  { name: 'id', type: 'INTEGER', mode: 'REQUIRED' },
  { name: 'ratio', type: 'FLOAT' },
  { name: 'ok', type: 'BOOLEAN' },
  { name: 'name', type: 'STRING' },
  { name: 'code', type: 'STRING', maxLength: '3' },
  { name: 'raw', type: 'BYTES' },
  { name: 'price', type: 'NUMERIC', precision: '10', scale: '2' },
  { name: 'huge', type: 'BIGNUMERIC' },
  { name: 'day', type: 'DATE' },
  { name: 'clock', type: 'TIME' },
  { name: 'local', type: 'DATETIME' },
  { name: 'at', type: 'TIMESTAMP' },
  { name: 'fine', type: 'TIMESTAMP', timestampPrecision: '12' },
  { name: 'place', type: 'GEOGRAPHY' },
  { name: 'doc', type: 'JSON' },
  { name: 'tags', type: 'STRING', mode: 'REPEATED' },
  { name: 'period', type: 'RANGE', rangeElementType: { type: 'DATE' } },
  {
    name: 'items',
    type: 'RECORD',
    mode: 'REPEATED',
    fields: [
      { name: 'sku', type: 'STRING', mode: 'REQUIRED' },
      { name: 'count', type: 'INTEGER' },
      { name: 'constructor', type: 'STRING' },
    ],
  },
  { name: 'größe', type: 'INTEGER' },
];

const columns = columnsOfRest(FIELDS);
const options = { ignoreUnknown: false, epoch: 'seconds' } as const;
const encoder = new RowEncoder(columns, options);
const decode = decoderFor(encoder.descriptor);
const encode = (text: string, using = encoder): Record<string, unknown> =>
  decode(using.encode(parseExact(text) as Record<string, unknown>, new ProtoWriter()));

function faultOf(text: string): string {
  try {
    encode(text);
  } catch (error) {
    const { code, path, message } = error as ColumnError;
    return `${code} ${path}: ${message}`;
  }
  return 'taken';
}

describe('rows that fit', () => {
  test('every type arrives as it was, by an independent decoder', () => {
    const row = encode(
      '{"id":9223372036854775807,"ratio":0.1,"ok":true,"name":"Zoë 😀","code":"äöü","raw":"aGk=","price":12345678.9,' +
        '"huge":12345678901234567890.12345678901234567890,"day":"1969-12-31","clock":"9:05","local":"2026-01-02T03:04:05.60",' +
        '"at":"2026-01-02T03:04:05.000001+02:00","fine":"2026-01-02T03:04:05.123456789012Z","place":"POINT(1 2)",' +
        '"doc":{"a":[1,12345678901234567890]},"tags":["x","y"],"period":{"start":"2026-01-01"},' +
        '"items":[{"sku":"a","count":-1},{"sku":"b","constructor":"c"}],"größe":7}',
    );
    expect(row).toEqual({
      id: '9223372036854775807',
      ratio: 0.1,
      ok: true,
      name: 'Zoë 😀',
      code: 'äöü',
      raw: 'aGk=',
      price: '12345678.9',
      huge: '12345678901234567890.1234567890123456789',
      day: -1,
      clock: '09:05:00',
      local: '2026-01-02 03:04:05.6',
      at: String(Date.UTC(2026, 0, 2, 1, 4, 5) * 1000 + 1),
      fine: '2026-01-02 03:04:05.123456789012+00:00',
      place: 'POINT(1 2)',
      doc: '{"a":[1,12345678901234567890]}',
      tags: ['x', 'y'],
      period: { start: Date.UTC(2026, 0, 1) / 864e5 },
      items: [
        { sku: 'a', count: '-1' },
        { sku: 'b', constructor: 'c' },
      ] as object[],
      column_19_: '7',
    });
  });

  test('names are found whatever their case; null and absent are the same', () => {
    expect(encode('{"ID":1,"Name":null,"ITEMS":[{"SKU":"a"}]}')).toEqual({ id: '1', items: [{ sku: 'a' }] });
  });

  test('a column that is no name for protocol buffers keeps its name in the options', () => {
    const field = encoder.descriptor.field.at(-1);
    expect(field?.options).toEqual({ '.google.cloud.bigquery.storage.v1.columnName': 'größe' });
  });

  test('fields that the table has not are left out when told so, at every depth', () => {
    const lenient = new RowEncoder(columns, { ...options, ignoreUnknown: true });
    expect(encode('{"id":1,"more":2,"items":[{"sku":"a","more":3}]}', lenient)).toEqual({
      id: '1',
      items: [{ sku: 'a' }],
    });
  });

  test('texts of every length and script, through the growth of the buffer', () => {
    const random = seededRandom(5);
    const writer = new ProtoWriter();
    for (let i = 0; i < 3000; i++) {
      const length = Math.floor(random.float() ** 4 * 3000);
      const unit = ['a', 'é', '中', '😀'][i % 4] as string;
      const name = 'b'.repeat(i % 7) + unit.repeat(length);
      const row = encoder.encode({ id: i, name, tags: [name] }, writer);
      expect(decode(row)).toEqual({ id: String(i), name, tags: [name] });
    }
  });
});

test.each([
  ['{"id":1.5}', 'INVALID_VALUE id: id: expected INT64, got 1.5'],
  ['{"id":"abc"}', 'INVALID_VALUE id: id: expected INT64, got "abc"'],
  ['{"id":9223372036854775808}', 'INVALID_VALUE id: id: 9223372036854775808 is out of the range of INT64'],
  ['{"id":true}', 'INVALID_VALUE id: id: expected INT64, got true'],
  ['{"id":null}', 'MISSING_FIELD id: missing required field: id'],
  ['{"name":"x"}', 'MISSING_FIELD id: missing required field: id'],
  ['{"id":1,"ok":1}', 'INVALID_VALUE ok: ok: expected BOOL, got 1'],
  ['{"id":1,"name":{"a":1}}', 'INVALID_VALUE name: name: expected STRING, got {"a":1}'],
  ['{"id":1,"name":"\\ud800"}', 'half a surrogate pair'],
  ['{"id":1,"code":"abcd"}', 'more than the 3 characters'],
  ['{"id":1,"raw":"a"}', 'INVALID_VALUE raw: raw: expected BYTES (base64), got "a"'],
  ['{"id":1,"price":123456789}', 'out of the range of NUMERIC(10, 2)'],
  ['{"id":1,"price":0.1234567891}', 'has 10 digits after the point, NUMERIC keeps 9'],
  ['{"id":1,"day":"2026-02-29"}', 'expected DATE'],
  ['{"id":1,"clock":"24:00:00"}', 'expected TIME'],
  ['{"id":1,"local":"2026-01-01 00:00:00Z"}', 'expected DATETIME'],
  ['{"id":1,"at":"2026-01-01 00:00:00.0000001"}', 'finer than the 6 digits'],
  ['{"id":1,"at":1767225600000}', 'out of the range of TIMESTAMP (numbers count seconds)'],
  ['{"id":1,"at":"tomorrow"}', 'expected TIMESTAMP'],
  ['{"id":1,"tags":"x"}', 'expected an array of STRING, got "x"'],
  ['{"id":1,"tags":["x",null]}', 'INVALID_VALUE tags[1]: tags[1]: an array holds no NULL'],
  ['{"id":1,"items":[{"sku":"a"},{"sku":"b","count":"x"}]}', 'INVALID_VALUE items[1].count: items[1].count: expected'],
  ['{"id":1,"items":[{"count":1}]}', 'MISSING_FIELD items[0].sku: missing required field: items[0].sku'],
  ['{"id":1,"items":[{"sku":"a","nope":1}]}', 'NO_SUCH_FIELD items[0].nope: no such field: items[0].nope'],
  ['{"id":1,"nope":1}', 'NO_SUCH_FIELD nope: no such field: nope'],
  ['{"id":1,"ID":2}', 'the row has this field twice'],
  ['{"id":1,"toString":2}', 'no such field: toString'],
  ['{"id":1,"__proto__":2}', 'no such field: __proto__'],
])('%s is refused, with its column and the reason', (text, fault) => {
  expect(faultOf(text)).toContain(fault);
  // The JSON of streaming inserts is held to the same.
  expect(() => jsonRow(columns, parseExact(text) as Record<string, unknown>, options)).toThrow();
});

test('the JSON of streaming inserts has BigQuery texts, and large integers as text', () => {
  const row = parseExact('{"id":9007199254740993,"at":1.5,"day":"2026-1-2","doc":"text","huge":1e3,"ratio":"NaN"}');
  expect(jsonRow(columns, row as Record<string, unknown>, options)).toEqual({
    id: '9007199254740993',
    at: '1970-01-01 00:00:01.5+00:00',
    day: '2026-01-02',
    doc: '"text"',
    huge: '1000',
    ratio: 'NaN',
  });
});

test('a row that failed leaves nothing behind in the buffer', () => {
  const writer = new ProtoWriter();
  const one = encoder.encode({ id: 1, name: 'one' }, writer);
  expect(() => encoder.encode({ id: 2, name: 'two', ok: 'perhaps' }, writer)).toThrow('ok: expected BOOL');
  const three = encoder.encode({ id: 3, name: 'three' }, writer);
  expect([decode(one), decode(three)]).toEqual([
    { id: '1', name: 'one' },
    { id: '3', name: 'three' },
  ]);
});

test('columns with a default may be missing, required or not', () => {
  const [column] = columnsOfRest([{ name: 'id', type: 'INT64', mode: 'REQUIRED', defaultValueExpression: '7' }]);
  const withDefault = new RowEncoder([column as NonNullable<typeof column>], options);
  expect(withDefault.encode({}, new ProtoWriter())).toHaveLength(0);
  expect(withDefault.descriptor.field[0]?.label).toBe('LABEL_OPTIONAL');
});
