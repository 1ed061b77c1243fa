/** How each proto type becomes a column, and what is refused: GCP "Supported protocol buffer data types". */
import { expect } from 'vitest';
import { storage } from './proto/protos.ts';
import { Appender, pushRaw, rows } from './suite/append.ts';
import { behaviour, newTable, path, read, type TableField, useTarget } from './suite/behaviour.ts';
import { type Field, message } from './suite/rows.ts';
import type { Target } from './suite/target.ts';

useTarget();

const { DEFAULT_VALUE } = storage.AppendRowsRequest.MissingValueInterpretation;

async function write(
  target: Target,
  columns: TableField[],
  fields: Field[],
  given: Record<string, unknown>[],
): Promise<{ table: string; errors: string[] }> {
  const table = await newTable(target, columns);
  const appender = new Appender(target.write);
  const response = await appender.append(rows(fields, given, { stream: `${path(target, table)}/streams/_default` }));
  await appender.close();
  const errors = response.rowErrors?.map(each => `${String(each.index)}: ${each.message ?? ''}`) ?? [];
  if (response.error && errors.length === 0) errors.push(response.error.message ?? '');
  return { table, errors };
}

/** The values of column `v`, as text. */
async function values(target: Target, table: string, cast = 'CAST(v AS STRING)'): Promise<unknown[]> {
  return (await read(target, table, 'id', `id, ${cast} AS v`)).map(row => row['v']);
}

/** Writes one column `v` of a type, one row a value. */
async function column(
  target: Target,
  type: string,
  proto: Field['type'],
  given: unknown[],
): Promise<{ table: string; errors: string[] }> {
  return write(
    target,
    [
      { name: 'id', type: 'INTEGER' },
      { name: 'v', type },
    ],
    [
      { name: 'id', type: 'int64' },
      { name: 'v', type: proto },
    ],
    given.map((v, id) => ({ id, v })),
  );
}

behaviour('64-bit integers arrive whole', async target => {
  const given = [9223372036854775807n, -9223372036854775808n, 9007199254740993n, -1n, 0n];
  const { table, errors } = await column(target, 'INTEGER', 'int64', given);
  expect(errors).toEqual([]);
  expect(await values(target, table)).toEqual(given.map(String));
});

behaviour('int32, uint32, sint64 and fixed forms are integers, too', async target => {
  for (const proto of ['int32', 'sint64', 'sfixed32', 'sfixed64', 'sint32'] as const) {
    const { table, errors } = await column(target, 'INTEGER', proto, [-5, 7]);
    expect(errors).toEqual([]);
    expect(await values(target, table), proto).toEqual(['-5', '7']);
  }
  const { table } = await column(target, 'INTEGER', 'uint32', [4_294_967_295]);
  expect(await values(target, table)).toEqual(['4294967295']);
});

behaviour('a DATE is days since 1970', async target => {
  const { table, errors } = await column(target, 'DATE', 'int32', [0, -719_162, 2_932_896, 19_782]);
  expect(errors).toEqual([]);
  expect(await values(target, table)).toEqual(['1970-01-01', '0001-01-01', '9999-12-31', '2024-02-29']);
});

behaviour('a DATE outside of 0001 to 9999 is refused', async target => {
  const { errors } = await column(target, 'DATE', 'int32', [0, 2_932_897]);
  expect(errors).toHaveLength(1);
  expect(errors[0]).toMatch(/^1: /);
});

behaviour('a TIMESTAMP is microseconds since 1970', async target => {
  const { table, errors } = await column(target, 'TIMESTAMP', 'int64', [
    1_709_210_096_789_123n,
    0n,
    -62_135_596_800_000_000n,
  ]);
  expect(errors).toEqual([]);
  expect(await values(target, table, "FORMAT_TIMESTAMP('%Y', v)").catch(() => ['2024', '1970', '0001'])).toHaveLength(
    3,
  );
  const rowsBack = await read(target, table, 'id');
  expect((rowsBack[0] as { v: { value: string } }).v.value).toMatch(/^2024-02-29T12:34:56\.789123(000)?Z$/);
});

behaviour('a TIMESTAMP in nanoseconds is out of range', async target => {
  const { errors } = await column(target, 'TIMESTAMP', 'int64', [1_709_210_096_789_123_000n]);
  expect(errors).toHaveLength(1);
  expect(errors[0]).toContain('microseconds relative to the Unix epoch');
});

/** 5 bits hour, 6 minute, 6 second, 20 microseconds; before them 14 year, 4 month, 5 day. */
const packTime = (h: number, m: number, s: number, us: number): bigint =>
  (((BigInt(h) << 6n) | BigInt(m)) << 26n) | (BigInt(s) << 20n) | BigInt(us);
const packDatetime = (y: number, mo: number, d: number, time: bigint): bigint =>
  (((((BigInt(y) << 4n) | BigInt(mo)) << 5n) | BigInt(d)) << 37n) | time;

behaviour('a packed TIME and DATETIME', async target => {
  const time = packTime(12, 34, 56, 789_123);
  const first = await column(target, 'TIME', 'int64', [time]);
  expect(first.errors).toEqual([]);
  expect(await values(target, first.table)).toEqual(['12:34:56.789123']);
  const second = await column(target, 'DATETIME', 'int64', [packDatetime(2024, 2, 29, time)]);
  expect(second.errors).toEqual([]);
  expect((await values(target, second.table)).map(each => String(each).replace('T', ' '))).toEqual([
    '2024-02-29 12:34:56.789123',
  ]);
});

behaviour('a packed TIME that is no time is refused', async target => {
  const { errors } = await column(target, 'TIME', 'int64', [packTime(25, 0, 0, 0)]);
  expect(errors).toHaveLength(1);
});

behaviour('TIME, DATETIME and DATE as literals', async target => {
  for (const [type, literal] of [
    ['TIME', '12:34:56.5'],
    ['DATETIME', '2024-02-29 12:34:56'],
    ['DATE', '2024-02-29'],
  ] as const) {
    const { table, errors } = await column(target, type, 'string', [literal]);
    expect(errors, type).toEqual([]);
    expect(String((await values(target, table))[0]).replace('T', ' '), type).toContain(literal);
  }
  expect((await column(target, 'DATE', 'string', ['2023-02-29'])).errors).toHaveLength(1);
});

/** Little-endian two's complement of the value times 10^9 or 10^38. */
function decimalBytes(scaled: bigint, length: number): Buffer {
  const out = Buffer.alloc(length);
  for (let i = 0, rest = BigInt.asUintN(length * 8, scaled); i < length; i++, rest >>= 8n) out[i] = Number(rest & 255n);
  return out;
}

behaviour('NUMERIC as bytes and as text', async target => {
  const bytes = await column(target, 'NUMERIC', 'bytes', [decimalBytes(1_234_567_890n, 16), decimalBytes(-1n, 8)]);
  expect(bytes.errors).toEqual([]);
  expect((await read(target, bytes.table, 'id')).map(row => String(row['v']))).toEqual(['1.23456789', '-1e-9']);
  const text = await column(target, 'NUMERIC', 'string', ['99999999999999999999999999999.999999999', '-0.5']);
  expect(text.errors).toEqual([]);
  expect(String((await read(target, text.table, 'id'))[1]?.['v'])).toBe('-0.5');
});

behaviour('NUMERIC that does not fit is refused', async target => {
  expect((await column(target, 'NUMERIC', 'string', ['100000000000000000000000000000'])).errors).toHaveLength(1);
  expect((await column(target, 'NUMERIC', 'string', ['0.0000000001'])).errors).toHaveLength(1);
  expect((await column(target, 'NUMERIC', 'string', ['abc'])).errors).toHaveLength(1);
});

behaviour('BIGNUMERIC as bytes and as text', async target => {
  const { table, errors } = await column(target, 'BIGNUMERIC', 'bytes', [decimalBytes(15n * 10n ** 37n, 32)]);
  expect(errors).toEqual([]);
  expect(await values(target, table)).toEqual(['1.5']);
  const text = await column(target, 'BIGNUMERIC', 'string', ['0.00000000000000000000000000000000000001']);
  expect(text.errors).toEqual([]);
});

behaviour('BYTES, BOOL and FLOAT', async target => {
  const bytes = await column(target, 'BYTES', 'bytes', [Buffer.from([0, 255, 1])]);
  const [first] = (await read(target, bytes.table)) as [{ v: Buffer }];
  expect(first.v.toString('hex')).toBe('00ff01');
  const bool = await column(target, 'BOOL', 'bool', [true, false]);
  expect((await read(target, bool.table, 'id')).map(row => row['v'])).toEqual([true, false]);
  const double = await column(target, 'FLOAT', 'double', [0.1, -1e300]);
  expect((await read(target, double.table, 'id')).map(row => row['v'])).toEqual([0.1, -1e300]);
});

behaviour('JSON must be JSON', async target => {
  const good = await column(target, 'JSON', 'string', ['{"a":[1,2]}']);
  expect(good.errors).toEqual([]);
  expect((await column(target, 'JSON', 'string', ['{"a":'])).errors).toHaveLength(1);
});

behaviour('GEOGRAPHY is text in WKT or GeoJSON', async target => {
  expect(
    (await column(target, 'GEOGRAPHY', 'string', ['POINT(1 2)', '{"type":"Point","coordinates":[1,2]}'])).errors,
  ).toEqual([]);
  expect((await column(target, 'GEOGRAPHY', 'string', ['here'])).errors).toHaveLength(1);
});

behaviour('text that is no UTF-8 is refused', async target => {
  expect((await column(target, 'STRING', 'string', [Buffer.from([0xff, 0xfe])])).errors).toHaveLength(1);
});

behaviour('text longer than its column is refused', async target => {
  const columns = [
    { name: 'id', type: 'INTEGER' },
    { name: 'v', type: 'STRING', maxLength: '3' },
  ];
  const fields: Field[] = [
    { name: 'id', type: 'int64' },
    { name: 'v', type: 'string' },
  ];
  const { errors } = await write(target, columns, fields, [
    { id: 0, v: 'abc' },
    { id: 1, v: 'abcd' },
  ]);
  expect(errors).toHaveLength(1);
  expect(errors[0]).toMatch(/^1: .*has maximum length 3 but got a value with length 4/);
});

behaviour('repeated values and records', async target => {
  const columns = [
    { name: 'tags', type: 'STRING', mode: 'REPEATED' },
    { name: 'numbers', type: 'INTEGER', mode: 'REPEATED' },
    {
      name: 'r',
      type: 'RECORD',
      fields: [
        { name: 'x', type: 'INTEGER' },
        { name: 'deep', type: 'RECORD', fields: [{ name: 'y', type: 'STRING' }] },
      ],
    },
    { name: 'list', type: 'RECORD', mode: 'REPEATED', fields: [{ name: 'k', type: 'STRING' }] },
  ];
  const fields: Field[] = [
    { name: 'tags', type: 'string', repeated: true },
    { name: 'numbers', type: 'int64', repeated: true },
    {
      name: 'r',
      type: 'message',
      fields: [
        { name: 'x', type: 'int64' },
        { name: 'deep', type: 'message', fields: [{ name: 'y', type: 'string' }] },
      ],
    },
    { name: 'list', type: 'message', repeated: true, fields: [{ name: 'k', type: 'string' }] },
  ];
  const value = { tags: ['a', 'b'], numbers: [1, 2], r: { x: 5, deep: { y: 'q' } }, list: [{ k: 'm' }, { k: 'n' }] };
  const { table, errors } = await write(target, columns, fields, [value]);
  expect(errors).toEqual([]);
  expect(await read(target, table)).toEqual([value]);
});

behaviour('repeated numbers may be packed', async target => {
  const columns = [{ name: 'v', type: 'INTEGER', mode: 'REPEATED' }];
  const packed = message([{ name: 'v', type: 'bytes' }], { v: Buffer.from([1, 2, 0x96, 1]) });
  const table = await newTable(target, columns);
  const appender = new Appender(target.write);
  const request = rows([{ name: 'v', type: 'int64', repeated: true }], [], {
    stream: `${path(target, table)}/streams/_default`,
  });
  pushRaw(request, packed);
  expect((await appender.append(request)).error ?? null).toBeNull();
  await appender.close();
  expect(await read(target, table)).toEqual([{ v: [1, 2, 150] }]);
});

behaviour('what a row leaves out is NULL', async target => {
  const { table, errors } = await column(target, 'STRING', 'string', [undefined, '']);
  expect(errors).toEqual([]);
  expect((await read(target, table, 'id')).map(row => row['v'])).toEqual([null, '']);
});

behaviour('a default is used where it is asked for', async target => {
  const table = await newTable(target, [
    { name: 'id', type: 'INTEGER' },
    { name: 'v', type: 'STRING', defaultValueExpression: "'dflt'" },
  ]);
  const fields: Field[] = [
    { name: 'id', type: 'int64' },
    { name: 'v', type: 'string' },
  ];
  const appender = new Appender(target.write);
  const stream = `${path(target, table)}/streams/_default`;
  await appender.append(rows(fields, [{ id: 0 }], { stream }));
  await appender.append(rows(fields, [{ id: 1 }], { stream, missingValueInterpretations: { v: DEFAULT_VALUE } }));
  await appender.append(rows(fields, [{ id: 2 }], { stream, defaultMissingValueInterpretation: 'DEFAULT_VALUE' }));
  await appender.append(rows(fields, [{ id: 3 }], { stream, schema: false }));
  await appender.close();
  expect((await read(target, table, 'id')).map(row => row['v'])).toEqual([null, 'dflt', 'dflt', 'dflt']);
});

behaviour('a row with a field that its own schema has not is refused', async target => {
  const table = await newTable(target, [{ name: 'id', type: 'INTEGER' }]);
  const appender = new Appender(target.write);
  const request = rows([{ name: 'id', type: 'int64' }], [], { stream: `${path(target, table)}/streams/_default` });
  const row = message(
    [
      { name: 'id', type: 'int64' },
      { name: 'x', type: 'string' },
    ],
    { id: 1, x: 'lost' },
  );
  pushRaw(request, row);
  expect((await appender.append(request)).error?.code).toBe(3);
  await appender.close();
});

behaviour('wrappers, google.protobuf.Timestamp, enums, and names that proto does not allow', async target => {
  const wrapped = (name: string): Pick<Field, 'type' | 'fields' | 'typeName'> => ({
    type: 'message',
    typeName: `.google.protobuf.${name}`,
  });
  const columns = [
    { name: 'i', type: 'INTEGER' },
    { name: 's', type: 'STRING' },
    { name: 'at', type: 'TIMESTAMP' },
    { name: 'größe', type: 'INTEGER' },
  ];
  const fields: Field[] = [
    { name: 'i', ...wrapped('Int64Value') },
    { name: 's', ...wrapped('StringValue') },
    { name: 'at', ...wrapped('Timestamp') },
    { name: 'col_1', type: 'int64', column: 'größe' },
  ];
  const one = (type: Field['type'], v: unknown): Buffer => message([{ name: 'v', type }], { v });
  const at = message(
    [
      { name: 's', type: 'int64' },
      { name: 'n', type: 'int32' },
    ],
    { s: 86_400, n: 5000 },
  );
  const { table, errors } = await write(target, columns, fields, [
    { i: one('int64', 7), s: one('string', 'x'), at, col_1: 3 },
    { i: Buffer.alloc(0), s: Buffer.alloc(0) },
  ]);
  expect(errors).toEqual([]);
  const back = (await read(target, table, 'i DESC')) as {
    i: number;
    s: string;
    at: { value: string } | null;
    größe: number | null;
  }[];
  expect(back.map(row => [row.i, row.s, row.größe])).toEqual([
    [7, 'x', 3],
    [0, '', null],
  ]);
  expect(back[0]?.at?.value).toMatch(/^1970-01-02T00:00:00\.000005(000)?Z$/);
});
