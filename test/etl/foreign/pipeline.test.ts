import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { expect, test } from 'vitest';
import { Millstream } from '../../servers/millstream.ts';
import { runCommand } from '../../server/support.ts';
import { foreignGuests, guestFile } from './built.ts';

/** A Redpanda transform, then a SmartModule, in one chain; its dead letters are records of their own topic. */
const CHAIN = `name = "orders"

[source]
topic = "orders"

[[step]]
name = "mask"
module = "wasm/mask.wasm"
config = { MASK_FIELD = "card" }

[[step]]
name = "keep"
module = "wasm/keep.wasm"
config = { key = "gold" }

[outputs]
default = "orders.gold"

[[test]]
name = "the card is masked"
input = { json = '{"card":"4111","tier":"gold"}', headers = { trace = "t" } }
expect = [{ outputs = ["default"], json = '{"card":"***","seen":true}', headers = { trace = "t" } }]

[[test]]
name = "no JSON is a dead letter"
input = { text = "no JSON" }
expect = [{ dead_letter = { step = "mask", code = "PANIC" } }]
`;

const ROUTES = `name = "routes"

[source]
topic = "letters"

[[step]]
name = "route"
module = "router"

[outputs]
default = "letters.in"
far = "letters.far"
`;

const ASKED = `name = "asked"

[source]
topic = "questions"

[[step]]
name = "ask"
module = "wasm/registry.wasm"
`;

interface Read {
  key: string | null;
  value: string | null;
  headers: Record<string, string>;
}

const PEAKS = `name = "peaks"

[source]
topic = "numbers"

[[step]]
name = "peak"
module = "wasm/peak.wasm"
look_back = { last = 3 }
`;

const SUMS = `name = "sums"

[source]
topic = "amounts"

[[step]]
name = "sum"
module = "wasm/sum.wasm"
`;

/** Reads a topic until it has given so many records. */
async function readTopic(kafka: Kafka, topic: string, count: number): Promise<Read[]> {
  const consumer = kafka.consumer({ groupId: `reader-${topic}` });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const found: Read[] = [];
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${topic} has ${found.length} of ${count} records`)), 30_000);
    const eachMessage = async ({ message }: { message: import('kafkajs').KafkaMessage }): Promise<void> => {
      const headers = Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)]);
      const text = (bytes: Buffer | null): string | null => bytes && bytes.toString();
      found.push({ key: text(message.key), value: text(message.value), headers: Object.fromEntries(headers) });
      if (found.length === count) {
        clearTimeout(timer);
        resolve();
      }
    };
    consumer.run({ eachMessage }).catch(reject);
  });
  await consumer.disconnect();
  return found;
}

foreignGuests('foreign guests: pipelines of a running server', () => {
  test('kafkajs writes, a transform and a SmartModule work in turn, kafkajs reads; a restart goes on', async () => {
    const server = await Millstream.prepare({ toml: '[broker]\ndefault_partitions = 1\n[schemas]\ndir = "schemas"\n' });
    const put = (path: string, text: string): void => {
      mkdirSync(join(server.folder, path, '..'), { recursive: true });
      writeFileSync(join(server.folder, path), text);
    };
    const copy = (guest: string, path: string): void => {
      mkdirSync(join(server.folder, path, '..'), { recursive: true });
      copyFileSync(guestFile(guest), join(server.folder, path));
    };
    copy('redpanda-mask', 'wasm/mask.wasm');
    copy('fluvio-init_filter', 'wasm/keep.wasm');
    copy('fluvio-look_back', 'wasm/peak.wasm');
    copy('fluvio-aggregate', 'wasm/sum.wasm');
    copy('redpanda-registry', 'wasm/registry.wasm');
    copy('redpanda-route', 'modules/router/router.wasm');
    put('modules/router/module.toml', 'name = "router"\nversion = "1.0.0"\n');
    put('schemas/orders-value/v1.id7.avsc', '{"type":"string"}');
    put('pipelines/orders.toml', CHAIN);
    put('pipelines/routes.toml', ROUTES);
    put('pipelines/asked.toml', ASKED);
    put('pipelines/peaks.toml', PEAKS);
    put('pipelines/sums.toml', SUMS);

    const cli = (...args: string[]) => runCommand(args, { cwd: server.folder });
    const lint = await cli('pipeline', 'lint');
    expect(lint.out).toContain('step mask: wasm/mask.wasm is a Redpanda transform, ABI 2');
    expect(lint.out).toContain('step keep: wasm/keep.wasm is a Fluvio SmartModule, filter');
    expect(lint.code).toBe(0);
    expect((await cli('module', 'list')).out).toMatch(/^router +1\.0\.0 +[0-9a-f]{12} +redpanda, ABI 2 /m);

    expect((await cli('pipeline', 'test', 'pipelines/orders.toml')).out).toContain('2 tests passed');

    await server.restart();
    try {
      const kafka = new Kafka({
        brokers: [`127.0.0.1:${server.kafkaPort}`],
        logLevel: logLevel.NOTHING,
        retry: { retries: 10 },
      });
      const producer = kafka.producer();
      await producer.connect();
      const order = (n: number, tier: string): { key: string; value: string; headers: Record<string, string> } => ({
        key: `k${n}`,
        value: JSON.stringify({ card: '4111', n, tier }),
        headers: { trace: `t${n}` },
      });
      await producer.send({
        topic: 'orders',
        messages: [order(1, 'gold'), order(2, 'tin'), { key: 'bad', value: 'no JSON' }, order(3, 'gold')],
      });
      await producer.send({
        topic: 'letters',
        messages: [{ value: '-' }, { value: 'letters.far,far,-' }, { value: 'nowhere' }],
      });
      const numbers = ['90', '5', '9', '3'].map(value => ({ value }));
      await producer.send({ topic: 'numbers', messages: numbers });
      await producer.send({ topic: 'amounts', messages: [{ value: '4' }, { value: 'x' }, { value: '5' }] });
      await producer.send({ topic: 'questions', messages: [{ value: 'latest orders-value' }] });

      const gold = (n: number): Read => ({
        key: `k${n}`,
        value: `{"card":"***","n":${n},"seen":true,"tier":"gold"}`,
        headers: { trace: `t${n}` },
      });
      expect(await readTopic(kafka, 'orders.gold', 2)).toEqual([gold(1), gold(3)]);
      const [letter] = await readTopic(kafka, 'orders.dead', 1);
      expect(letter).toMatchObject({
        key: 'bad',
        value: 'no JSON',
        headers: { 'millstream.dl.name': 'mask', 'millstream.dl.code': 'PANIC', 'millstream.dl.offset': '2' },
      });
      expect((await readTopic(kafka, 'letters.in', 2)).map(each => each.value)).toEqual(['-', '-']);
      expect((await readTopic(kafka, 'letters.far', 2)).map(each => each.value)).toEqual(['letters.far', 'far']);
      expect((await readTopic(kafka, 'routes.dead', 1)).map(each => each.value)).toEqual(['nowhere']);
      const [answer] = await readTopic(kafka, 'asked.out', 1);
      expect(JSON.parse(answer?.value ?? '')).toMatchObject({ id: 7, version: 1, subject: 'orders-value' });

      expect((await readTopic(kafka, 'peaks.out', 1)).map(each => each.value)).toEqual(['90']);

      expect((await readTopic(kafka, 'sums.out', 2)).map(each => each.value)).toEqual(['4', '9']);

      await producer.disconnect();
      await server.terminate();
      await server.restart();
      const again = kafka.producer();
      await again.connect();
      await again.send({ topic: 'orders', messages: [order(4, 'gold')] });
      expect((await readTopic(kafka, 'orders.gold', 1)).map(each => each.key)).toEqual(['k4']);
      // It was shown the last three numbers before it went on: 90 is forgotten, 9 is not.
      await again.send({ topic: 'numbers', messages: [{ value: '7' }, { value: '10' }] });
      expect((await readTopic(kafka, 'peaks.out', 1)).map(each => each.value)).toEqual(['10']);
      await again.send({ topic: 'amounts', messages: [{ value: '1' }] });
      expect((await readTopic(kafka, 'sums.out', 1)).map(each => each.value)).toEqual(['10']);
      await again.disconnect();
    } finally {
      await server.stop();
    }
  }, 120_000);
});
