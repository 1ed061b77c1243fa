import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { assemble, guestText } from '../../etl/sandbox/guests.ts';
import { type Project, startProject, until } from '../support.ts';

/* Deploys and rollbacks that pipelines take while they run. test/faults/deploy.test.ts has them under load. */

const PIPELINE =
  'name = "shop"\n[source]\ntopic = "orders"\n[[step]]\nname = "pass"\nmodule = "guest"\non_error = "stop"\n';
/** Of records that begin with this letter, so many come out. */
const guest = (letter: string, copies: 0 | 2, more: Parameters<typeof guestText>[0] = {}): Uint8Array => {
  const emit = '(call $emit (local.get $index) (i32.const 0) (local.get $body) (local.get $length))';
  const then = copies === 0 ? '(return)' : `${emit} ${emit} (return)`;
  const special = `(if (i32.eq (local.get $kind) (i32.const ${letter.charCodeAt(0)})) (then ${then}))`;
  return assemble(guestText({ ...more, special }));
};

let project: Project;
afterEach(() => project.close());

async function start(pipeline = PIPELINE): Promise<void> {
  project = await startProject();
  mkdirSync(join(project.folder, 'modules/guest'), { recursive: true });
  writeFileSync(join(project.folder, 'modules/guest/guest.wasm'), guest('z', 0));
  project.write('modules/guest/module.toml', 'name = "guest"\nversion = "0.1.0"\n');
  project.write('pipelines/shop.toml', pipeline);
  const listen = 'kafka_listen = "127.0.0.1:0"\nhttp_listen = "127.0.0.1:0"\n';
  project.write('millstream.toml', `[broker]\ndefault_partitions = 1\n[network]\n${listen}`);
  await project.restart();
}

const brokers = (): string => `127.0.0.1:${project.server.kafka.port}`;
const produce = (...values: string[]) =>
  project.run(['produce', 'orders', '--brokers', brokers()], values.map(value => `${value}\n`).join(''));
const out = async (count: number): Promise<string[]> => {
  const read = async () =>
    (await project.run(['consume', 'shop.out', '--from', 'earliest', '-e', '--brokers', brokers()])).out
      .split('\n')
      .filter(line => line !== '');
  return (await until(read, lines => lines.length >= count)).toSorted();
};
const ask = async (path: string, init: RequestInit = {}) => {
  const response = await fetch(`${project.url}/api/v1/wasm/modules${path}`, { method: 'POST', ...init });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};
const deploy = (bytes: Uint8Array, manifest: object = {}) => {
  const encoded = Buffer.from(JSON.stringify(manifest)).toString('base64');
  return ask('', { headers: { 'x-module-name': 'guest', 'x-module-manifest': encoded }, body: Buffer.from(bytes) });
};
const status = () => project.server.pipelines[0]?.status();
const version = (): string | undefined => status()?.steps[0]?.version;

test('a pipeline takes a deploy, and a rollback, with its next commit', async () => {
  await start();
  await produce('xa');
  expect(await out(1)).toEqual(['xa']);
  expect((await deploy(guest('x', 2))).status).toBe(201);
  expect(version()).toBe('1');
  await produce('xb');
  expect(await out(3)).toEqual(['xa', 'xb', 'xb']);
  expect((await deploy(guest('x', 0))).status).toBe(201);
  await produce('xc', 'ya');
  expect(await out(4)).toEqual(['xa', 'xb', 'xb', 'ya']);
  expect((await ask('/guest/rollback')).body).toMatchObject({ active: '1', versions: [{ used_by: ['shop'] }, {}] });
  await produce('xd');
  expect(await out(6)).toEqual(['xa', 'xb', 'xb', 'xd', 'xd', 'ya']);
  expect(status()).toMatchObject({ state: 'running', records: 5 });
});

test('one that names a version, or a digest, keeps it', async () => {
  await start(PIPELINE.replace('"guest"', '"guest@0.1.0"'));
  expect((await deploy(guest('x', 2))).status).toBe(201);
  await produce('xa');
  expect(await out(1)).toEqual(['xa']);
  expect(version()).toBe('0.1.0');
});

test('what a pipeline cannot run is not deployed, and it goes on as it was', async () => {
  await start();
  const refuses = '(func (export "millstream_init") (param i32 i32) (result i32) (i32.const 7))';
  const loops = '(func (export "millstream_init") (param i32 i32) (result i32) (loop $l (br $l)) (i32.const 0))';
  expect(await deploy(guest('x', 2, { init: refuses }))).toMatchObject({
    status: 422,
    body: { code: 'MODULE_INIT_FAILED', detail: expect.stringContaining('pipeline `shop` cannot run it') },
  });
  const schema = { type: 'object', properties: { salt: { type: 'string' } }, required: ['salt'] };
  expect(await deploy(guest('x', 2), { config_schema: schema })).toMatchObject({
    status: 422,
    body: { code: 'CONFIG_REFUSED', detail: expect.stringContaining('the config of step pass') },
  });
  const stateful = '(import "millstream" "state_delete" (func (param i32 i32) (result i32)))';
  expect(await deploy(guest('x', 2, { capabilities: 5, extra: stateful }))).toMatchObject({
    status: 409,
    body: { code: 'STATE_REFUSED', detail: expect.stringContaining('step pass keeps no state') },
  });
  await produce('xa');
  expect(await out(1)).toEqual(['xa']);
  expect(await deploy(guest('x', 2, { init: loops }))).toMatchObject({
    status: 422,
    body: { code: 'MODULE_INIT_FAILED' },
  });
  await produce('xb');
  expect(await out(2)).toEqual(['xa', 'xb']);
  expect(version()).toBe('0.1.0');
  expect((await ask('/guest/rollback')).status).toBe(404);
}, 60_000);

test('a pipeline that a module has stopped goes on with a better one, from the record that was in the way', async () => {
  await start();
  await produce('xa', 'Fb', 'xc');
  await until(
    async () => status()?.state,
    state => state === 'stopped',
  );
  expect((await deploy(guest('F', 2))).status).toBe(201);
  expect(await out(4)).toEqual(['Fb', 'Fb', 'xa', 'xc']);
  expect(status()).toMatchObject({ state: 'running', reason: null });
});

test('a step with state keeps it', async () => {
  await start(PIPELINE.replace('"guest"', '"velocity"\nconfig = { window_ms = 86400000 }'));
  const use = (n: number): Promise<unknown> => produce(`{"card":"c","n":${n}}`);
  const counts = async (count: number): Promise<string[]> => {
    const read = async () =>
      (await project.run(['consume', 'shop.out', '--from', 'earliest', '-e', '--json', '--brokers', brokers()])).out
        .split('\n')
        .flatMap(line => /"velocity":"(\d+)"/.exec(line)?.[1] ?? []);
    return until(read, found => found.length >= count);
  };
  await use(1);
  await use(2);
  expect(await counts(2)).toEqual(['1', '2']);
  const velocity = readFileSync(fileURLToPath(new URL('../../../modules/velocity/velocity.wasm', import.meta.url)));
  const headers = { 'x-module-name': 'velocity' };
  expect((await ask('', { headers, body: Buffer.concat([velocity, Buffer.from([0, 2, 1, 0x6e])]) })).status).toBe(201);
  expect(version()).toBe('1');
  await use(3);
  expect(await counts(3)).toEqual(['1', '2', '3']);
  // Another version of the state would be another's.
  const manifest = Buffer.from('{"state_version":2}').toString('base64');
  const body = Buffer.concat([velocity, Buffer.from([0, 2, 1, 0x6f])]);
  const refusal = await ask('', { headers: { ...headers, 'x-module-manifest': manifest }, body });
  expect(refusal).toMatchObject({ status: 409, body: { code: 'STATE_REFUSED' } });
  await use(4);
  expect(await counts(4)).toEqual(['1', '2', '3', '4']);
});
