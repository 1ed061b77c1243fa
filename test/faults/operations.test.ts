/** What goes wrong when a person runs the server: one sentence to act on, an exit code, no stack trace. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { Millstream, type MillstreamOptions } from '../servers/millstream.ts';
import { ended, eventually } from '../servers/process.ts';
import { Wire } from '../servers/wire.ts';
import { encodeBatch } from '../servers/wire-batch.ts';

const servers: Millstream[] = [];
const listeners: Server[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map(server => server.stop()));
  await Promise.all(listeners.splice(0).map(listener => new Promise(resolve => listener.close(resolve))));
});

const prepare = async (options?: MillstreamOptions): Promise<Millstream> => {
  const server = await Millstream.prepare(options);
  servers.push(server);
  return server;
};
const start = async (options?: MillstreamOptions): Promise<Millstream> => {
  const server = await prepare(options);
  await server.restart();
  return server;
};

/** Starts it, expects that it ends by itself, and gives what it said. */
async function refusal(server: Millstream): Promise<{ code: number | NodeJS.Signals | null; said: string }> {
  const code = await ended(server.spawn());
  await eventually('its last words', () => server.output.length > 0 || undefined);
  expect(server.output, 'a stack trace is not for people').not.toMatch(/^\s+at /m);
  expect(server.output.trim().split('\n').length, server.output).toBeLessThanOrEqual(8);
  return { code, said: server.output };
}

/** Holds a port of 127.0.0.1, as another program would. */
const occupy = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const listener = createServer().once('error', reject);
    listeners.push(listener);
    listener.listen(port, '127.0.0.1', resolve);
  });

describe('a port in use', () => {
  test.each(['kafka', 'http'] as const)('%s: names the address and the key to change', async which => {
    const server = await prepare();
    const port = which === 'kafka' ? server.kafkaPort : server.httpPort;
    await occupy(port);
    const { code, said } = await refusal(server);
    expect(code).toBe(1);
    expect(said).toContain(`127.0.0.1:${port}`);
    expect(said).toMatch(/another process listens/i);
    expect(said).toContain(`${which}_listen`);
  });
});

describe('a data directory', () => {
  test('that another process has is refused, naming that process', async () => {
    const first = await start();
    const second = await prepare({ dataDir: first.dataDir });
    const { code, said } = await refusal(second);
    expect(code).toBe(1);
    expect(said).toContain(first.dataDir);
    expect(said).toContain(String(first.pid()));
    // And the first one is not disturbed.
    const wire = await Wire.connect(first.bootstrap);
    expect((await wire.apiVersions()).length).toBeGreaterThan(0);
    wire.close();
  });

  test('whose process was killed is taken over', async () => {
    const first = await start();
    await first.kill9();
    const second = await start({ dataDir: first.dataDir });
    expect(second.alive).toBe(true);
  });

  test('that is a file is refused in a sentence that names it', async () => {
    const server = await prepare();
    writeFileSync(server.dataDir, 'not a folder');
    const { code, said } = await refusal(server);
    expect(code).toBe(1);
    expect(said).toContain(server.dataDir);
  });
});

describe('a config', () => {
  const cases: { what: string; toml: string; expects: (string | RegExp)[] }[] = [
    {
      what: 'with an unknown key names the line and the nearest key',
      toml: '[broker]\ndata_dirr = "x"\n',
      expects: [/millstream\.toml:2:1\b/, 'data_dir'],
    },
    {
      what: 'with an unknown section names the line and the nearest section',
      toml: '[brokr]\n',
      expects: [/millstream\.toml:1:\d+/, 'broker'],
    },
    {
      what: 'with a value of the wrong type names the line',
      toml: '[broker]\n\ndefault_partitions = "many"\n',
      expects: [/millstream\.toml:3:\d+/, 'default_partitions'],
    },
    {
      what: 'that is not TOML names the line',
      toml: '[broker\nid = 1\n',
      expects: [/millstream\.toml:[12]:\d+/],
    },
    {
      what: 'with an unset variable names the variable',
      toml: '[broker]\nid = "${NOT_SET_ANYWHERE}"\n',
      expects: [/millstream\.toml:2:\d+/, 'NOT_SET_ANYWHERE'],
    },
  ];

  test.each(cases)('$what', async ({ toml, expects }) => {
    const { code, said } = await refusal(await prepare({ toml }));
    expect(code).toBe(1);
    for (const expected of expects) {
      if (typeof expected === 'string') expect(said).toContain(expected);
      else expect(said).toMatch(expected);
    }
  });

  test('overridden by an environment variable with a bad value names the variable', async () => {
    const { code, said } = await refusal(await prepare({ config: { 'broker.max_message_bytes': 'a lot' } }));
    expect(code).toBe(1);
    expect(said).toContain('MILLSTREAM_BROKER_MAX_MESSAGE_BYTES');
  });

  test('with a pipeline that does not read names its file and line', async () => {
    const server = await prepare();
    writeFileSync(join(server.folder, 'pipelines', 'orders.toml'), 'name = "orders"\n\n[source]\ntopicc = "orders"\n');
    const { code, said } = await refusal(server);
    expect(code).toBe(1);
    expect(said).toMatch(/orders\.toml:4:1\b/);
  });
});

describe('a stop', () => {
  test('by SIGTERM under load answers what is under way and ends with 0; nothing acked is lost', async () => {
    const server = await start();
    const wire = await Wire.connect(server.bootstrap);
    await wire.createTopic('load', 1);
    let acked = 0;
    const load = (async () => {
      for (;;) {
        const { error } = await wire.produce('load', 0, encodeBatch({ values: [Buffer.from(`${acked}`)] }));
        if (error !== 0) return;
        acked++;
      }
    })().catch(() => {});
    await eventually('some acks', () => acked > 100 || undefined);
    expect(await server.terminate()).toBe(0);
    await load;
    wire.close();
    expect(server.errors).toEqual([]);
    await server.restart();
    const again = await Wire.connect(server.bootstrap);
    // One more may be in the log: acked, but the connection ended before the answer was read.
    const { offset } = await again.listOffset('load', 0, -1);
    expect([acked, acked + 1]).toContain(offset);
    again.close();
  });

  test('by SIGTERM ends connections that wait for records', async () => {
    const server = await start();
    const wire = await Wire.connect(server.bootstrap);
    await wire.createTopic('waiting', 1);
    const waiting = wire.fetch('waiting', 0, 0, { minBytes: 1, maxWaitMs: 300_000 }).catch(() => null);
    expect(await server.terminate()).toBe(0);
    await waiting;
    wire.close();
  });
});

test('a data directory with damaged files is refused or mended, never a crash without a sentence', async () => {
  const server = await start();
  expect(await server.terminate()).toBe(0);
  mkdirSync(join(server.dataDir, 'log', 'not a partition'), { recursive: true });
  writeFileSync(join(server.dataDir, 'log', 'stray.file'), 'x');
  await server.restart();
  expect(server.alive).toBe(true);
});
