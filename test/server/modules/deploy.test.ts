import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inspect } from '../../../etl/sandbox/inspect.ts';
import { assemble, guestText } from '../../etl/sandbox/guests.ts';
import { type Project, startProject, until } from '../support.ts';

/* `module deploy`, `show` and `rollback` against a server, and the same over REST. */

const PIPELINE = `name = "shop"
[source]
topic = "orders"
[[step]]
name = "mark"
module = "MODULE"
config = { big_from = 5 }
`;

let project: Project;
beforeAll(async () => {
  project = await startProject();
  expect((await project.run(['module', 'new', 'orders'])).code).toBe(0);
});
afterAll(() => project.close());

const cli = (...args: string[]) => project.run([...args, '--server', project.url]);
const brokers = (): string => `127.0.0.1:${project.server.kafka.port}`;
const rest = async (path: string, init: RequestInit = {}) => {
  const response = await fetch(`${project.url}/api/v1/wasm/modules${path}`, init);
  const text = await response.text();
  return { status: response.status, body: text === '' ? null : (JSON.parse(text) as Record<string, unknown>) };
};
const post = (bytes: Uint8Array, name: string, headers: Record<string, string> = {}) =>
  rest('', { method: 'POST', headers: { 'x-module-name': name, ...headers }, body: Buffer.from(bytes) });
const wasm = (): Buffer => readFileSync(join(project.folder, 'modules/orders/orders.wasm'));
const edit = (from: string, to: string): void => {
  const file = join(project.folder, 'modules/orders/assembly/index.ts');
  writeFileSync(file, readFileSync(file, 'utf8').replace(from, to));
};
/** What the pipeline makes of one order. */
async function processed(order: string): Promise<string> {
  await project.run(['produce', 'orders', '--brokers', brokers()], `${order}\n`);
  const last = () => project.run(['consume', 'shop.out', '--from', 'earliest', '-e', '--brokers', brokers()]);
  const id = JSON.parse(order).id as string;
  const ran = await until(last, ({ out }) => out.includes(id));
  return ran.out.trimEnd().split('\n').at(-1) ?? '';
}
const restartWith = (module: string): Promise<void> => {
  project.write('pipelines/shop.toml', PIPELINE.replace('MODULE', module));
  return project.restart();
};

describe('a module that is deployed', () => {
  it('is built, tested and gets the next whole number as its version', async () => {
    const { code, out } = await cli('module', 'deploy', 'orders');
    expect([code, out]).toEqual([0, expect.stringMatching(/^orders@1 is deployed and active: sha256 [0-9a-f]{12}\n$/)]);
    expect((await cli('module', 'deploy', 'orders', '--json')).out).toContain('"version":"1"');
    const shown = await rest('/orders');
    expect(shown.body).toMatchObject({
      active: '1',
      versions: [{ version: '1', abi: 'millstream-core', size: wasm().length, active: true, used_by: [] }],
    });
  });

  it('is what a pipeline takes when it starts, its schema too', async () => {
    await restartWith('orders');
    expect(JSON.parse(await processed('{"id":"o-1","total":7}'))).toEqual({ id: 'o-1', total: 7, big: true });
    expect((await cli('module', 'show', 'orders')).out).toMatch(/^orders@1 +active .* shop$/m);
    project.write(
      'pipelines/bad.toml',
      PIPELINE.replace('MODULE', 'orders').replace('shop', 'bad').replace('big_from', 'big_form'),
    );
    expect((await project.run(['pipeline', 'lint'])).out).toContain('unknown key `big_form`');
    project.write(
      'pipelines/bad.toml',
      PIPELINE.replace('MODULE', 'orders').replace('shop', 'bad').replace('5', '"much"'),
    );
    expect((await project.run(['pipeline', 'lint'])).out).toMatch(
      /bad\.toml:7:\d+: error: `step\[0\]\.config\.big_from`/,
    );
    project.write(
      'pipelines/bad.toml',
      'name = "bad"\n[source]\ntopic = "bad"\n[sinks.out.file]\npath = "bad.ndjson"\n',
    );
  });

  it('is not deployed when its cases fail', async () => {
    edit("'big')", "'large')");
    expect(await cli('module', 'deploy', 'orders')).toMatchObject({
      code: 1,
      err: expect.stringContaining('1 of its cases fail: "a big order, as the config has it"'),
    });
    expect((await rest('/orders')).body).toMatchObject({ active: '1' });
    expect((await cli('module', 'deploy', 'orders', '--force')).out).toContain('orders@2 is deployed');
  });

  it('goes back, and the running pipeline with it; its version can be pinned', async () => {
    const header = async (): Promise<unknown> => {
      const id = `o-${Math.random()}`;
      await processed(`{"id":"${id}","total":9}`);
      const { out } = await project.run([
        'consume',
        'shop.out',
        '--from',
        'earliest',
        '-e',
        '--json',
        '--brokers',
        brokers(),
      ]);
      return JSON.parse(out.split('\n').find(line => line.includes(id)) ?? '').headers;
    };
    expect(JSON.stringify(await header())).toContain('large');
    expect((await cli('module', 'rollback', 'orders')).out).toMatch(/^orders@1 +active/m);
    expect(JSON.stringify(await header())).not.toContain('large');
    await restartWith('orders@2');
    expect(JSON.stringify(await header())).toContain('large');
    const { versions } = (await rest('/orders')).body as { versions: { sha256: string }[] };
    await restartWith(`orders@sha256:${versions[0]?.sha256.slice(0, 8)}`);
    expect(JSON.stringify(await header())).not.toContain('large');
    expect((await cli('module', 'rollback', 'orders', '--to', '7')).err).toContain('no version 7');
    expect((await cli('module', 'rollback', 'orders')).err).toContain('nothing to go back to');
  });

  it('is refused under another digest, at lint and at start', async () => {
    project.write(
      'pipelines/pinned.toml',
      PIPELINE.replace('MODULE', 'orders@sha256:0123456789').replace('shop', 'pinned'),
    );
    const { code, out } = await project.run(['pipeline', 'lint']);
    project.write(
      'pipelines/pinned.toml',
      'name = "pinned"\n[source]\ntopic = "p"\n[sinks.out.file]\npath = "p.ndjson"\n',
    );
    expect(code).toBe(1);
    expect(out).toContain('the module `orders` has no version that fits "orders@sha256:0123456789"');
  });

  it('shows a record that failed again, with the stack', async () => {
    edit('if (!total.isNumber)', 'if (total.text() == "trap") throw new Error("no way");\n  if (!total.isNumber)');
    await cli('module', 'deploy', 'orders', '--force');
    await restartWith('orders');
    await project.run(['produce', 'orders', '--brokers', brokers()], '{"id":"o-9","total":"trap"}\n');
    const list = () => project.run(['dead-letter', 'list', 'shop', '--json', '--brokers', brokers()]);
    const listed = await until(list, ({ out }) => out.includes('"id"'));
    const { id } = JSON.parse(listed.out.split('\n')[0] ?? '') as { id: string };
    const { code, out, err } = await project.run(['module', 'test', '--dead-letter', id, '--brokers', brokers()]);
    expect(code).toBe(1);
    expect(out).toContain('"code":"MODULE_THREW","reason":"no way (assembly/index.ts:');
    expect(err).toMatch(/RuntimeError: unreachable\n(.*\n)* +at assembly\/index\/transform /);
  });
});

/** Inspection finds nothing wrong with it, and the compiler does. */
function unsound(bytes: Uint8Array): Uint8Array {
  for (let at = bytes.length - 1; at > 8; at--) {
    const broken = Uint8Array.from(bytes);
    broken[at] = 0xff;
    if (WebAssembly.validate(broken)) continue;
    try {
      inspect(broken);
      return broken;
    } catch {
      // Found out earlier than is wanted here.
    }
  }
  throw new Error('every damage is found by inspection');
}

describe('the modules over REST', () => {
  it('takes bytes with a name, and gives the same version for the same bytes', async () => {
    const bytes = assemble(guestText());
    const first = await post(bytes, 'plain', { 'x-module-version': '1.2.0' });
    expect(first).toMatchObject({ status: 201, body: { name: 'plain', version: '1.2.0', abi: 'millstream-core' } });
    expect(await post(bytes, 'plain')).toEqual(first);
    expect((await post(assemble(guestText({ capabilities: 3 })), 'plain')).body).toMatchObject({ version: '2' });
    expect((await rest('')).body).toMatchObject({ modules: [{ name: 'orders' }, { name: 'plain', active: '2' }] });
  });

  it('refuses what it cannot take, with a reason', async () => {
    const bytes = assemble(guestText({ capabilities: 0 }));
    expect(await post(bytes, 'Plain!')).toMatchObject({ status: 400, body: { code: 'BAD_MODULE' } });
    expect(await post(bytes, 'plain', { 'x-module-version': '2' })).toMatchObject({ status: 409 });
    expect(await post(Buffer.from('no wasm'), 'plain')).toMatchObject({
      status: 422,
      body: { code: 'MODULE_REFUSED' },
    });
    expect(await post(unsound(bytes), 'plain')).toMatchObject({ status: 422, body: { code: 'MODULE_REFUSED' } });
    expect(await post(Buffer.alloc(33 * 1024 * 1024), 'plain')).toMatchObject({ status: 413 });
    expect(await rest('/nothing')).toMatchObject({ status: 404 });
    expect(await rest('/nothing/rollback', { method: 'POST' })).toMatchObject({ status: 404 });
    expect((await rest('/plain')).body).toMatchObject({ active: '2' });
  });

  it('removes versions that nothing runs, and never the active one of several', async () => {
    expect(await rest('/orders', { method: 'DELETE' })).toMatchObject({
      status: 409,
      body: { code: 'VERSION_IN_USE' },
    });
    expect(await rest('/plain?version=2', { method: 'DELETE' })).toMatchObject({ status: 409 });
    expect(await rest('/plain?version=1.2.0', { method: 'DELETE' })).toMatchObject({ status: 204 });
    expect(readdirSync(join(project.folder, 'data/modules/plain'))).toHaveLength(2);
    expect(await rest('/plain', { method: 'DELETE' })).toMatchObject({ status: 204 });
    expect(readdirSync(join(project.folder, 'data/modules'))).toEqual(['orders']);
  });

  it('does not start with bytes that were changed on the disk', async () => {
    const folder = join(project.folder, 'data/modules/orders');
    const [file = ''] = readdirSync(folder).filter(name => name.endsWith('.wasm'));
    const before = readFileSync(join(folder, file));
    writeFileSync(join(folder, file), Buffer.concat([before, Buffer.from([0, 1, 0])]));
    const { code, err } = await project.run(['pipeline', 'lint']);
    writeFileSync(join(folder, file), before);
    expect([code, err]).toEqual([1, expect.stringContaining('does not hold the bytes that its name says')]);
  });
});
