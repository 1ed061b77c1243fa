/**
 * Rows per second and core from JavaScript objects to protocol buffers for BigQuery's Storage Write API: the encoder that
 * the `bigquery` sink generates, beside the one of the official JSONWriter (which checks nothing) in the same run, A B B A.
 * Six columns, about 200 bytes of JSON. CPU time of this process, so that a busy machine matters less.
 *
 *   node bench/bigquery-encoder.ts [--rows 200000] [--rounds 3]
 */
import { parseArgs } from 'node:util';
import { adapt } from '@google-cloud/bigquery-storage';
import { JSONEncoder } from '@google-cloud/bigquery-storage/build/src/managedwriter/encoder.js';
import { ProtoWriter } from '../connectors/bigquery/encode/proto-writer.ts';
import { RowEncoder } from '../connectors/bigquery/encode/row-encoder.ts';
import { columnsOfRest } from '../connectors/bigquery/schema/columns.ts';
import { FIELDS, rowText } from './bigquery-rows.ts';
import { Results, table } from './measure.ts';

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '200000' }, rounds: { type: 'string', default: '3' } },
});
const count = Number(values.rows);

/** Parsed as a sink has them: 1,000 different rows, again and again. */
const ROWS = Array.from({ length: 1000 }, (_, i) => JSON.parse(rowText(i)) as Record<string, unknown>);

function ours(): (rows: Record<string, unknown>[]) => number {
  const encoder = new RowEncoder(columnsOfRest(FIELDS), { ignoreUnknown: false, epoch: 'microseconds' });
  const writer = new ProtoWriter();
  return rows => {
    let bytes = 0;
    for (const row of rows) bytes += encoder.encode(row, writer).length;
    return bytes;
  };
}

function official(): (rows: Record<string, unknown>[]) => number {
  const fields = FIELDS.map(({ name, type, mode }) => ({ name, type, mode }));
  const descriptor = adapt.convertStorageSchemaToProto2Descriptor({ fields } as never, 'root');
  const encoder = new JSONEncoder({ protoDescriptor: descriptor });
  return rows => encoder.encodeRows(rows as never).reduce((sum, row) => sum + row.length, 0);
}

const CONTENDERS: [name: string, make: () => (rows: Record<string, unknown>[]) => number][] = [
  ['millstream', ours],
  ['official JSONWriter', official],
];

const results = new Results();
const made = CONTENDERS.map(([name, make]) => ({ name, encode: make() }));
for (const { encode } of made) for (let i = 0; i < 30; i++) encode(ROWS);
let run = 0;
for (let round = 0; round < Number(values.rounds); round++) {
  for (const { name, encode } of [...made, ...made.toReversed()]) {
    const from = process.cpuUsage();
    let bytes = 0;
    for (let done = 0; done < count; done += ROWS.length) bytes += encode(ROWS);
    const { user, system } = process.cpuUsage(from);
    const seconds = (user + system) / 1e6;
    const figures = {
      rows_per_cpu_s: count / seconds,
      cpu_us_per_row: (seconds * 1e6) / count,
      bytes_per_row: bytes / count,
    };
    results.add({ case: 'bigquery encoder', target: name, run: ++run, figures });
  }
}
console.log(
  table(
    results.lines,
    CONTENDERS.map(([name]) => name),
    'official JSONWriter',
  ),
);
