import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { assemble, guestText } from '../../etl/sandbox/guests.ts';
import { type Project, startProject, until } from '../support.ts';

/* `shadow` in a step: another module sees some of the records, and is only told of. */

/** Doubles records that begin with x; of the shared kinds, T traps and L never ends. */
const doubling = (): Uint8Array => {
  const emit = '(call $emit (local.get $index) (i32.const 0) (local.get $body) (local.get $length))';
  return assemble(
    guestText({ special: `(if (i32.eq (local.get $kind) (i32.const 120)) (then ${emit} ${emit} (return)))` }),
  );
};
/** T and L are nothing to it. */
const harmless = (): Uint8Array => {
  const emit = '(call $emit (local.get $index) (i32.const 0) (local.get $body) (local.get $length))';
  const is = (letter: string): string => `(i32.eq (local.get $kind) (i32.const ${letter.charCodeAt(0)}))`;
  return assemble(guestText({ special: `(if (i32.or ${is('T')} ${is('L')}) (then ${emit} (return)))` }));
};

const PIPELINE = `name = "shop"
[source]
topic = "orders"
[[step]]
name = "first"
module = "passthrough"
[[step]]
name = "second"
module = "guest@1"
shadow = { module = "guest@2", sample = 1 }
limits = { time = "100ms" }
`;

let project: Project;
afterEach(() => project.close());

async function start(pipeline = PIPELINE): Promise<void> {
  project = await startProject();
  for (const [version, bytes] of [
    ['1.0.0', harmless()],
    ['2.0.0', doubling()],
  ] as const) {
    const folder = `modules/guest-${version}`;
    mkdirSync(join(project.folder, folder), { recursive: true });
    writeFileSync(join(project.folder, folder, 'guest.wasm'), bytes);
    project.write(`${folder}/module.toml`, `name = "guest"\nversion = "${version}"\n`);
  }
  project.write('pipelines/shop.toml', pipeline);
  const listen = 'kafka_listen = "127.0.0.1:0"\nhttp_listen = "127.0.0.1:0"\n';
  project.write('millstream.toml', `[broker]\ndefault_partitions = 1\n[network]\n${listen}`);
  await project.restart();
}

const brokers = (): string => `127.0.0.1:${project.server.kafka.port}`;
const produce = (...values: string[]) =>
  project.run(['produce', 'orders', '--brokers', brokers()], values.map(value => `${value}\n`).join(''));
const out = async (): Promise<string[]> =>
  (await project.run(['consume', 'shop.out', '--from', 'earliest', '-e', '--brokers', brokers()])).out
    .split('\n')
    .filter(line => line !== '');
const report = () => project.server.pipelines[0]?.status().steps[1]?.shadow;

test('another module is tried on the records of a step, and its differences are told', async () => {
  await start();
  await produce('a', 'xb', 'c', 'Td');
  const seen = await until(
    async () => report(),
    found => (found?.records ?? 0) >= 4,
  );
  expect(seen).toMatchObject({ module: 'guest', version: '2.0.0', sample: 1, different: 2, error: null });
  const plain = { output: 'default', key: null, headers: [] };
  expect(seen?.last).toMatchObject([
    { offset: 1, now: [{ ...plain, value: 'xb' }], shadow: [{ value: 'xb' }, { value: 'xb' }] },
    { offset: 3, now: [{ ...plain, value: 'Td' }], shadow: [{ failed: 'TRAP' }] },
  ]);
  expect(await until(out, lines => lines.length >= 4)).toEqual(['a', 'xb', 'c', 'Td']);
  const status = project.server.pipelines[0]?.status();
  expect(status).toMatchObject({ state: 'running', deadLetters: { records: 0 } });
  expect(status?.steps[0]?.shadow).toBeNull();
  const metrics = await (await fetch(`${project.url}/metrics`)).text();
  expect(metrics).toMatch(/millstream_shadow_records_total\{pipeline="shop",step="second",result="different"\} 2/);
});

test('nobody waits for one that stands still', async () => {
  await start();
  await produce('La');
  await produce('b');
  expect(await until(out, lines => lines.length >= 2)).toEqual(['La', 'b']);
  const seen = await until(
    async () => report(),
    found => (found?.different ?? 0) >= 1,
  );
  expect(seen?.last[0]).toMatchObject({ offset: 0, now: [{ value: 'La' }], shadow: [{ failed: 'TIMEOUT' }] });
});

test('what cannot be tried is found by lint', async () => {
  await start();
  project.write('pipelines/shop.toml', PIPELINE.replace('guest@2', 'guest@3'));
  expect((await project.run(['pipeline', 'lint'])).out).toContain('there is no module that fits "guest@3"');
  project.write('pipelines/shop.toml', PIPELINE.replace('guest@2', 'velocity'));
  expect((await project.run(['pipeline', 'lint'])).out).toContain('`velocity` keeps state');
  project.write('pipelines/shop.toml', PIPELINE.replace('sample = 1', 'sample = 0'));
  expect((await project.run(['pipeline', 'lint'])).code).toBe(1);
});
