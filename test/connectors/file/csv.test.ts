import { describe, expect, it } from 'vitest';
import { CsvColumns, csvEnd, csvFields, toSnakeCase } from '../../../connectors/file/csv.ts';

const fields = (row: string): unknown => csvFields(Buffer.from(row));

describe('a CSV row', () => {
  it.each([
    ['a,b,c', ['a', 'b', 'c']],
    ['', ['']],
    [',', ['', '']],
    ['a,', ['a', '']],
    ['"a","b"', ['a', 'b']],
    ['"a,b",c', ['a,b', 'c']],
    ['"say ""hi""",x', ['say "hi"', 'x']],
    ['"",""""', ['', '"']],
    ['"two\r\nlines",z', ['two\r\nlines', 'z']],
    ['5" pipe,7', ['5" pipe', '7']],
    ['å,"ß,ß"', ['å', 'ß,ß']],
  ])('%j has the fields %j', (row, expected) => {
    expect(fields(row)).toEqual(expected);
  });

  it.each([
    ['"open,b', { code: 'CSV_QUOTES', unclosed: true }],
    ['a,"b', { code: 'CSV_QUOTES', unclosed: true }],
    ['"a"b,c', { code: 'CSV_QUOTES' }],
  ])('%j is refused', (row, fault) => {
    expect(fields(row)).toMatchObject(fault);
  });

  it('that is not UTF-8 is refused instead of changed', () => {
    expect(csvFields(Buffer.from([0x61, 0x2c, 0xe4]))).toMatchObject({ code: 'NOT_UTF8' });
  });

  it.each([
    ['a,b\nrest', { end: 3, next: 4 }],
    ['a,b\r\nrest', { end: 3, next: 5 }],
    ['"a\nb",c\nrest', { end: 7, next: 8 }],
    ['"a""\n",c\n', { end: 8, next: 9 }],
    ['5" pipe\nrest', { end: 7, next: 8 }],
    ['\n', { end: 0, next: 1 }],
    ['"a\nb', null],
    ['"a\nb"', null],
    ['"a\nb",c', null],
    ['abc', null],
  ])('%j ends at %j', (text, end) => {
    expect(csvEnd(Buffer.from(text), 0)).toEqual(end);
  });
});

describe('CSV columns', () => {
  const plain = { types: false, snakeCase: false };

  it('make JSON objects with text values in the order of the columns', () => {
    const columns = new CsvColumns(['b', 'a "x"'], plain);
    expect(columns.toJson(['1', 'say "hi"\n'])).toBe('{"b":"1","a \\"x\\"":"say \\"hi\\"\\n"}');
  });

  it('refuse a row with another number of fields', () => {
    expect(new CsvColumns(['a', 'b'], plain).toJson(['1'])).toEqual({
      code: 'CSV_COLUMNS',
      reason: 'the row has 1 field, the header 2',
    });
  });

  it('write numbers as numbers when asked to, and leave what a double would change', () => {
    const values = ['1', '-2.50', '1e3', '007', '+1', '', '1.', 'NaN', '12345678901234567890', '0'];
    const columns = new CsvColumns(
      values.map((_, i) => `c${i}`),
      { types: true, snakeCase: false },
    );
    const json = columns.toJson(values) as string;
    expect(json.replaceAll(/"c\d":/g, '')).toBe('{1,-2.50,1e3,"007","+1","","1.","NaN","12345678901234567890",0}');
  });

  it('have names without doubles and gaps', () => {
    expect(new CsvColumns(['a', 'a', '', 'a'], plain).names).toEqual(['a', 'a_2', 'column_3', 'a_3']);
    expect(new CsvColumns(['Make/Model', 'makeModel'], { types: false, snakeCase: true }).names).toEqual([
      'make_model',
      'make_model_2',
    ]);
  });

  it.each([
    ['Aircraft: Make/Model', 'aircraft_make_model'],
    ['flightDate', 'flight_date'],
    ['HTTPStatus', 'http_status'],
    [' Cost (USD) ', 'cost_usd'],
    ['Größe', 'größe'],
    ['already_fine', 'already_fine'],
  ])('%j in snake case is %j', (name, expected) => {
    expect(toSnakeCase(name)).toBe(expected);
  });
});
