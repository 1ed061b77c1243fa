/**
 * Orders, the pipeline that filters and spreads them, and what must be in BigQuery in the end: computed from the source
 * topic alone, by a few lines that know the modules' promises and nothing of their code.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileModule } from '../../../sdk/assemblyscript/compile.ts';
import type { Millstream } from '../../servers/millstream.ts';
import { eventually } from '../../servers/process.ts';
import { TopicReader } from '../../servers/topic-reader.ts';
import { Wire } from '../../servers/wire.ts';
import { type DecodedRecord, encodeBatch } from '../../servers/wire-batch.ts';

export const SOURCE = 'orders';
export const OUTPUT = 'orders.out';
export const PARTITIONS = 3;

/** `sieve` drops every fifth order, `spread` makes one record of each item. */
const PIPELINE = `
name = "orders"
[source]
topic = "${SOURCE}"
[[step]]
name = "sieve"
module = "sieve"
[[step]]
name = "spread"
module = "spread"
[outputs]
default = "${OUTPUT}"
`;

export const COLUMNS = [
  { name: 'id', type: 'STRING', mode: 'REQUIRED' },
  { name: 'n', type: 'INT64' },
  { name: 'amount', type: 'INT64' },
  { name: 'place', type: 'GEOGRAPHY' },
  { name: 'log_partition', type: 'INT64' },
  { name: 'log_offset', type: 'INT64' },
];

/** Which field or place in the log is which of COLUMNS. */
export const MAPPING = `
[schema]
mapping = "custom"
[schema.column_mappings]
id = "id"
n = "n"
amount = "amount"
place = "place"
"$partition" = "log_partition"
"$offset" = "log_offset"
`;

/** One that the encoder refuses, one that only BigQuery refuses, the rest good; up to three items. */
function orderOf(n: number): string {
  const items = ['a', 'b', 'c'].slice(0, n % 4);
  const amount = n % 23 === 0 ? 'none' : n * 10;
  return JSON.stringify({ n, amount, place: n % 29 === 0 ? 'nowhere' : 'POINT(1 2)', items });
}

export interface Due {
  rows: string[];
  refused: string[];
}

/** What the orders in the source must come to. `placesFit`: the table takes any text as a place. */
export function dueOf(orders: readonly string[], placesFit = false): Due {
  const due: Due = { rows: [], refused: [] };
  for (const order of orders) {
    const { n, amount, place, items } = JSON.parse(order) as {
      n: number;
      amount: unknown;
      place: string;
      items: string[];
    };
    if (n % 5 === 0) continue;
    const isGood = typeof amount === 'number' && (placesFit || place !== 'nowhere');
    for (const item of items) due[isGood ? 'rows' : 'refused'].push(`${n}.${item}`);
  }
  return due;
}

/** Puts modules and pipeline into the server's folder; `more` is the rest of the pipeline file, its sinks. */
export async function installPipeline(server: Millstream, more = ''): Promise<void> {
  for (const name of ['sieve', 'spread']) {
    const source = fileURLToPath(new URL(`./modules/${name}`, import.meta.url));
    const target = join(server.folder, 'modules', name);
    mkdirSync(target, { recursive: true });
    copyFileSync(join(source, 'module.toml'), join(target, 'module.toml'));
    writeFileSync(join(target, `${name}.wasm`), await compileModule(source));
  }
  writeFileSync(join(server.folder, 'pipelines/orders.toml'), PIPELINE + more);
}

/** Makes the topics; waits until they can be written to and the pipeline has its output. */
export async function makeTopics(server: Millstream, more: readonly string[] = []): Promise<void> {
  const wire = await Wire.connect(server.bootstrap);
  try {
    for (const topic of [SOURCE, ...more]) await wire.createTopic(topic, PARTITIONS);
    for (const topic of [SOURCE, OUTPUT, ...more]) {
      await eventually(
        `topic ${topic}`,
        async () => (await wire.listOffset(topic, PARTITIONS - 1, -1)).error === 0 || undefined,
        60_000,
      );
    }
  } finally {
    wire.close();
  }
}

/** Writes orders; whether one that was not acknowledged is there is asked of the topic. */
export class Orders {
  private readonly server: Millstream;
  private wire: Wire | null = null;
  private next = 1;

  constructor(server: Millstream) {
    this.server = server;
  }

  /** Never sends an order twice. */
  async produce(count: number): Promise<void> {
    const numbers = Array.from({ length: count }, () => this.next++);
    try {
      this.wire ??= await Wire.connect(this.server.bootstrap);
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const values = numbers.filter(n => n % PARTITIONS === partition).map(n => Buffer.from(orderOf(n)));
        if (values.length > 0) await this.wire.produce(SOURCE, partition, encodeBatch({ values }));
      }
    } catch {
      this.close();
    }
  }

  close(): void {
    this.wire?.close();
    this.wire = null;
  }

  async due(placesFit = false): Promise<Due> {
    const orders = await recordsOf(this.server.bootstrap, SOURCE);
    return dueOf(
      orders.map(({ value }) => value.toString()),
      placesFit,
    );
  }
}

/** All that a reader of committed records finds in a topic. */
export async function recordsOf(bootstrap: string, topic: string): Promise<DecodedRecord[]> {
  const wire = await Wire.connect(bootstrap);
  try {
    return (await new TopicReader(topic, PARTITIONS).read(wire)).flat();
  } finally {
    wire.close();
  }
}

/** The row that a dead letter is of. */
export const idOf = ({ value }: DecodedRecord): string => (JSON.parse(value.toString()) as { id: string }).id;
