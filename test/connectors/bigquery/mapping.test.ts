import fs from 'node:fs';
import path from 'node:path';
import avro from 'avsc';
import { expect, test } from 'vitest';
import { config } from '../../../connectors/bigquery/config.ts';
import { decodeJson, type Decoder } from '../../../connectors/bigquery/mapping/decoder.ts';
import { decoderOf } from '../../../connectors/bigquery/mapping/input.ts';
import { mapperOf } from '../../../connectors/bigquery/mapping/mapper.ts';
import type { Row } from '../../../connectors/runtime/contract.ts';
import { nodeDisk } from '../../../core/base/node-disk.ts';
import { seededRandom } from '../../../core/base/random.ts';
import { ManualClock } from '../manual-clock.ts';
import { record, temporaryDirectory } from '../support.ts';

const context = { clock: new ManualClock(Date.UTC(2026, 0, 2, 3, 4, 5, 6)), random: seededRandom(1) };

function rowOf(value: string | Uint8Array, more: object = {}): Row {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return {
    topic: 'orders',
    partition: 3,
    record: { offset: 42, ...record(''), headers: [], ...more, value: bytes },
  };
}

function mapped(schema: object, value: string, more: object = {}): unknown {
  const parsed = config.parse({ project: 'p', dataset: 'd', table: 't', schema });
  const row = rowOf(value, more);
  return mapperOf(parsed.schema, context)(decodeJson(row), row);
}

test('direct: the record is the row', () => {
  expect(mapped({}, '{"a":1,"b":{"c":2}}')).toEqual({ a: 1, b: { c: 2 } });
});

test('custom: dotted paths become columns, what the log knows too, and the rest is left out', () => {
  const column_mappings = {
    'user_data.user_id': 'user_id',
    'items.1.sku': 'second.sku',
    'a.b': 'dotted',
    'not.there': 'nothing',
    $key: 'key',
    $partition: 'partition',
    $offset: 'offset',
    $timestamp: 'produced',
    '$headers.trace': 'trace',
  };
  const value = '{"user_data":{"user_id":9007199254740993},"items":[{},{"sku":"x"}],"a.b":1,"other":2}';
  const more = { key: Buffer.from('k'), timestamp: 0, headers: [['trace', Buffer.from('t-1')]] };
  expect(JSON.stringify(mapped({ mapping: 'custom', column_mappings }, value, more))).toBe(
    '{"user_id":9007199254740993,"second":{"sku":"x"},"dotted":1,"key":"k","partition":3,"offset":42,' +
      '"produced":"1970-01-01T00:00:00.000Z","trace":"t-1"}',
  );
});

test('nested: the row lies under the root field', () => {
  expect(mapped({ mapping: 'nested', root_field: 'payload.after' }, '{"payload":{"after":{"id":1}}}')).toEqual({
    id: 1,
  });
  expect(() => mapped({ mapping: 'nested', root_field: 'payload' }, '{"other":1}')).toThrow(
    'at payload there is no object',
  );
});

test('defaults fill what is missing or null: literals and known expressions, never text that merely looks like one', () => {
  const default_values = {
    at: 'CURRENT_TIMESTAMP()',
    day: 'current_date()',
    kind: 'web',
    'deep.n': 7,
    id: 'GENERATE_UUID()',
  };
  expect(mapped({ default_values }, '{"kind":null,"deep":{"m":1}}')).toEqual({
    at: '2026-01-02T03:04:05.006Z',
    day: '2026-01-02',
    kind: 'web',
    deep: { m: 1, n: 7 },
    id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4/) as string,
  });
  expect(() => mapped({ default_values: { at: 'NOW()' } }, '{}')).toThrow('is no expression that is known');
});

test.each([
  ['[1]', 'the record is no object'],
  ['{', 'the value is no JSON'],
  ['', 'the value is no JSON'],
])('%s is no row', (value, reason) => {
  expect(() => mapped({}, value)).toThrow(reason);
});

test('bytes that are no text, and records without a value, say so', () => {
  expect(() => decodeJson(rowOf(Uint8Array.of(0x22, 0xff, 0x22)))).toThrow('no UTF-8 text');
  expect(() => decodeJson({ ...rowOf(''), record: { ...rowOf('').record, value: null } })).toThrow('has no value');
});

const SCHEMA = {
  type: 'record',
  name: 'Order',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'note', type: ['null', 'string'] },
    { name: 'day', type: { type: 'int', logicalType: 'date' } },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-micros' } },
    { name: 'local', type: { type: 'long', logicalType: 'local-timestamp-millis' } },
    { name: 'clock', type: { type: 'int', logicalType: 'time-millis' } },
    { name: 'price', type: { type: 'bytes', logicalType: 'decimal', precision: 10, scale: 2 } },
    {
      name: 'items',
      type: { type: 'array', items: { type: 'record', name: 'Item', fields: [{ name: 'raw', type: 'bytes' }] } },
    },
  ],
} as const;

test('Avro: whole longs, logical types as text, with and without the registry frame', async () => {
  const folder = temporaryDirectory();
  fs.writeFileSync(path.join(folder, 'order.avsc'), JSON.stringify(SCHEMA));
  const input = config.parse({
    project: 'p',
    dataset: 'd',
    table: 't',
    input: { format: 'avro', schema_file: 'order.avsc', schemas: { 7: 'order.avsc' } },
  }).input;
  const decode: Decoder = await decoderOf(input, nodeDisk, file => path.join(folder, file));
  // Written by the plain library, longs by hand: it writes none beyond 2^53.
  const writer = avro.Type.forSchema({ ...SCHEMA, fields: SCHEMA.fields.slice(1) } as never, { logicalTypes: {} });
  const rest = writer.toBuffer({
    note: 'x',
    day: -1,
    at: -1,
    local: 1_767_323_045_006,
    clock: 3_723_004,
    price: Buffer.from([0xff, 0x38]),
    items: [{ raw: Buffer.from('hi') }],
  });
  const bytes = Buffer.concat([Buffer.from('feffffffffffffffff01', 'hex'), rest]);
  const expected = {
    id: 9223372036854775807n,
    note: 'x',
    day: '1969-12-31',
    at: '1969-12-31T23:59:59.999999Z',
    local: '2026-01-02T03:04:05.006',
    clock: '01:02:03.004',
    price: '-2.00',
    items: [{ raw: Buffer.from('hi') }],
  };
  expect({ ...(decode(rowOf(bytes)) as object) }).toEqual(expected);
  expect({ ...(decode(rowOf(Buffer.concat([Buffer.from([0, 0, 0, 0, 7]), bytes]))) as object) }).toEqual(expected);
  expect(() => decode(rowOf(Buffer.from([0, 0, 0, 0, 8, 1])))).toThrow('the schema id 8 is not in `schemas`');
  expect(() => decode(rowOf(bytes.subarray(0, 12)))).toThrow('no record of the Avro schema');
  fs.rmSync(folder, { recursive: true });
});
