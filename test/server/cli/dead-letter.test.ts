import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sleep, systemClock } from '../../../core/base/clock.ts';
import { nodeNetwork } from '../../../core/base/node-network.ts';
import { systemRandom } from '../../../core/base/random.ts';
import { Cluster } from '../../../core/client/cluster.ts';
import { GroupMember } from '../../../core/client/group-member.ts';
import { type OutgoingRecord, Producer } from '../../../core/client/producer.ts';
import type { RecordJson } from '../../../server/api/http/record-json.ts';
import { assemble, guestText } from '../../etl/sandbox/guests.ts';
import { type Project, type Ran, startProject, until } from '../support.ts';

/* Dead letters from end to end: refused by a module or a sink, looked at, mended, replayed. */

const PIPELINE = `
name = "orders"
[source]
topic = "orders"
start = "latest"
[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["secret"] }
[[step]]
name = "check"
module = "picky"
[sinks.plain]
batch = { linger = "10ms" }
[sinks.plain.file]
path = "out/plain.ndjson"
[sinks.dated]
batch = { linger = "10ms" }
[sinks.dated.file]
path = "out/PATH.ndjson"
[dead_letter]
`;
const REFUSES_OBJECTS = guestText({
  special: `(if (i32.eq (local.get $kind) (i32.const 123)) (then
    (call $fail (local.get $index) (i32.const 16) (i32.const 7) (i32.const 32) (i32.const 21))))`,
});

interface Listed {
  id: string;
  code: string;
  name: string;
  replays: number;
  replay_of: string | null;
  source: { topic: string; partition: number; offset: number };
}

let project: Project;

beforeAll(async () => {
  project = await startProject();
});
afterAll(() => project.close());

/** The module `picky`: version of the day. */
function deploy(text: string): void {
  mkdirSync(join(project.folder, 'modules/picky'), { recursive: true });
  project.write(
    'modules/picky/module.toml',
    'name = "picky"\nversion = "1.0.0"\ndescription = "d"\nfile = "picky.wasm"\nredacts = false\n',
  );
  writeFileSync(join(project.folder, 'modules/picky/picky.wasm'), assemble(text));
}

const brokers = (): string[] => ['--brokers', `127.0.0.1:${project.server.kafka.port}`];
const run = (...args: string[]): Promise<Ran> => project.run([...args, ...brokers()]);

function connect(): Cluster {
  const address = `127.0.0.1:${project.server.kafka.port}`;
  const parts = { network: nodeNetwork, clock: systemClock, random: systemRandom, clientId: 'test' };
  return new Cluster({ brokers: [address], ...parts });
}

async function produce(topic: string, record: OutgoingRecord): Promise<void> {
  const cluster = connect();
  await new Producer(cluster).send(topic, [record]);
  await cluster.close();
}

async function list(...where: string[]): Promise<Listed[]> {
  const { out } = await run('dead-letter', 'list', 'orders', '--json', ...where.flatMap(each => ['--where', each]));
  return out
    .split('\n')
    .slice(0, -1)
    .map(text => JSON.parse(text) as Listed);
}

async function records(topic: string): Promise<RecordJson[]> {
  const { out } = await run('consume', topic, '--from', 'earliest', '-e', '--json');
  return out
    .split('\n')
    .slice(0, -1)
    .map(text => JSON.parse(text) as RecordJson);
}

const lines = (file: string): string[] => {
  const path = join(project.folder, file);
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
};
const topics = async (): Promise<string> => (await run('topic', 'list')).out;

describe('dead letters', { timeout: 30_000 }, () => {
  const secret = '{"id":1,"secret":"x"}';
  const scrubbed = '{"id":1,"secret":"***"}';
  const TIME = 1_700_000_000_000;
  const refused: OutgoingRecord = {
    key: null,
    value: Buffer.from(secret),
    headers: [['h', Buffer.from([0xff, 0])]],
    timestamp: TIME,
    partition: 1,
  };

  beforeAll(async () => {
    deploy(REFUSES_OBJECTS);
    project.write('pipelines/orders.toml', PIPELINE.replace('PATH', '{yyyy}'));
    await run('topic', 'create', 'orders', '-p', '2');
    await project.restart();
    await produce('orders', refused);
    await until(list, letters => letters.length === 1);
  });

  it('are listed, chosen by what is known of them, and shown whole', async () => {
    const [letter] = await list('step=check', 'code=REFUSED', 'offset>=0', 'partition=1', 'at>=2026-01-01T10:00Z');
    expect(letter).toMatchObject({ name: 'check', replays: 0, source: { topic: 'orders', partition: 1, offset: 0 } });
    expect(await list('step=scrub')).toEqual([]);
    expect(await list('replays>0')).toEqual([]);
    const { id } = letter as Listed;
    const table = await run('dead-letter', 'list', 'orders');
    expect(table.out).toContain(id);
    expect(table.out).toMatch(/step check +REFUSED +this value is refused +0$/m);
    const { out } = await run('dead-letter', 'show', id);
    for (const part of [
      `value       ${secret}\n`,
      `value     ${scrubbed}\n`,
      'h: hex ff00',
      'orders/1@0',
      '2023-11-14T22:13:20.000Z',
    ]) {
      expect(out).toContain(part);
    }
    const { out: json } = await run('dead-letter', 'show', id, '--json');
    expect(JSON.parse(json)).toMatchObject({ id, record: { value: secret }, given: { value: scrubbed } });
    expect((await run('dead-letter', 'show', `${id}9`)).code).toBe(1);
  });

  it('refuses what it does not understand', async () => {
    expect(await run('dead-letter', 'list', 'orders', '--where', 'colour=red')).toMatchObject({ code: 2 });
    expect((await run('dead-letter', 'list', 'orders', '--where', 'at>=noon')).err).toContain('2026-11-21T10:00Z');
    expect((await run('dead-letter', 'list', 'orders', '--where', 'code>=A')).err).toContain('= and != only');
    expect((await run('dead-letter', 'list', 'nobody')).err).toContain('there is no topic nobody.dead');
    expect((await run('dead-letter', 'show', 'x')).code).toBe(2);
    expect((await run('dead-letter', 'replay', 'orders', '--to', 'lake')).code).toBe(2);
    expect((await run('dead-letter', 'replay', 'orders', '--to', 'sink', 'nosuch')).err).toContain(
      'no running sink nosuch',
    );
  });

  it('a dry run says what would happen and changes nothing', async () => {
    const before = await topics();
    expect(await run('dead-letter', 'replay', 'orders', '--dry-run')).toEqual({
      code: 0,
      out: 'would replay 1 dead letter into the steps of orders\n',
      err: '',
    });
    expect(await topics()).toBe(before);
  });

  it('that are refused once more keep where they came from, and are counted', async () => {
    const [first] = await list();
    const ran = await run('dead-letter', 'replay', 'orders');
    expect(ran).toMatchObject({ code: 1, out: '0 passed, 1 died again\n' });
    const [same, again] = await list();
    expect(same).toEqual(first);
    expect(again).toMatchObject({ id: first?.id, replays: 1, replay_of: '1-0', source: first?.source });
    const { out } = await run('dead-letter', 'show', first?.id ?? '', '--json');
    const [one, two] = out
      .split('\n')
      .slice(0, -1)
      .map(text => JSON.parse(text) as object);
    expect(two).toMatchObject({ record: (one as { record: object }).record, given: (one as { given: object }).given });
  });

  it('are not replayed twice, nor more often than asked for', async () => {
    expect(await run('dead-letter', 'replay', 'orders', '--max-replays', '1')).toEqual({
      code: 0,
      out: 'nothing to replay\n',
      err:
        '1 dead letter left: replayed before into the steps of orders\n' +
        '1 dead letter left: at the limit of --max-replays 1\n',
    });
  });

  it('come out of a mended step as if they had never been refused', async () => {
    deploy(guestText());
    await project.restart();
    await produce('orders', refused);
    await until(
      () => records('orders.out'),
      found => found.length === 1,
    );
    expect(await run('dead-letter', 'replay', 'orders')).toEqual({
      code: 0,
      out: '1 passed, 0 died again\n',
      err: '1 dead letter left: replayed before into the steps of orders\n',
    });
    const [never, replayed] = await records('orders.out');
    expect(never).toMatchObject({ partition: 1, value: scrubbed, timestamp: TIME });
    expect({ ...replayed, offset: 0 }).toEqual({ ...never, offset: 0 });
    await until(
      () => lines('out/plain.ndjson'),
      found => found.length === 2,
    );
    expect(lines('out/plain.ndjson')).toEqual([scrubbed, scrubbed]);
    expect(await list()).toHaveLength(2);
    expect((await run('dead-letter', 'replay', 'orders')).out).toBe('nothing to replay\n');
  });

  it('of a sink go to that sink alone', async () => {
    await produce('orders', { ...refused, value: Buffer.from('12'), timestamp: 9e15 });
    const [letter] = await until(
      () => list('sink=dated'),
      found => found.length === 1,
    );
    expect(letter).toMatchObject({ code: 'BAD_TIMESTAMP', source: { topic: 'orders.out', partition: 1 } });
    const again = await run('dead-letter', 'replay', 'orders', '--id', letter?.id ?? '');
    expect(again).toMatchObject({ code: 1, out: '0 passed, 1 died again\n' });
    expect((await list('sink=dated', 'replays=1'))[0]).toMatchObject({ id: letter?.id, source: letter?.source });
    project.write('pipelines/orders.toml', PIPELINE.replace('PATH', 'dated-{topic}-{partition}'));
    await project.restart();
    const ran = await run('dead-letter', 'replay', 'orders', '--where', 'sink=dated');
    expect(ran).toMatchObject({ code: 0, out: '1 passed, 0 died again\n' });
    expect(lines('out/dated-orders.out-1.ndjson')).toEqual(['12']);
    const twelves = (): string[] => lines('out/plain.ndjson').filter(line => line === '12');
    expect(await until(twelves, found => found.length > 0)).toEqual(['12']);
    expect((await records('orders.out')).filter(({ value }) => value === '12')).toHaveLength(1);
  });

  it('go to the sink that is named, whoever refused them', async () => {
    const before = lines('out/plain.ndjson');
    const ran = await run(
      'dead-letter',
      'replay',
      'orders',
      '--where',
      'step=check',
      '--where',
      'replays=0',
      '--to',
      'sink',
      'plain',
    );
    expect(ran).toMatchObject({ code: 0, out: '1 passed, 0 died again\n' });
    expect(lines('out/plain.ndjson')).toEqual([...before, scrubbed]);
    expect(lines('out/dated-orders.out-1.ndjson')).toEqual(['12']);
  });

  it('stay when nobody would take them', async () => {
    rmSync(join(project.folder, 'pipelines/orders.toml'));
    await project.restart();
    const before = await topics();
    const ran = await run('dead-letter', 'replay', 'orders', '--where', 'replays=0');
    expect(ran).toEqual({
      code: 0,
      out: 'nothing to replay\n',
      err: '1 dead letter left: orders is not running\n1 dead letter left: orders has no running sink dated\n',
    });
    expect(await topics()).toBe(before);
  });

  it('wait for a reader that is about to come back', async () => {
    const running = run('dead-letter', 'replay', 'orders', '--dry-run', '--where', 'replays=0');
    const cluster = connect();
    await sleep(systemClock, 1000);
    const group = new GroupMember(
      cluster,
      { group: 'millstream.orders', topics: ['orders'] },
      { assigned: async () => {}, revoked: async () => {} },
    );
    const leaving = new AbortController();
    const member = group.run(leaving.signal);
    expect((await running).err).toBe(
      '1 dead letter left: replayed before into the steps of orders\n' +
        '1 dead letter left: orders has no running sink dated\n',
    );
    leaving.abort();
    await member;
    await cluster.close();
  });
});
