/**
 * A pipeline whose module is hostile beside one that is well, in one process with one worker: whatever the module does,
 * the process lives within its memory, exactly the offenders are dead letters, and the other pipeline goes on. What cannot
 * be run at all is refused when it is deployed. `npm run soak -- poison` sends more damaged modules, and holds the other
 * pipeline to at least 80 % of its speed while loops, traps and bombs go off beside it.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { seededRandom } from '../../core/base/random.ts';
import { Millstream } from '../servers/millstream.ts';
import { eventually, peakResidentBytes, residentBytes, sleep } from '../servers/process.ts';
import { TopicReader } from '../servers/topic-reader.ts';
import { Wire } from '../servers/wire.ts';
import { encodeBatch } from '../servers/wire-batch.ts';
import { bomb, damaged, KINDS, neverStarts, poisonGuest, withStruct } from './poison/guests.ts';
import { countOr, report, seedFor } from './settings.ts';

const MIB = 1024 * 1024;
/** The worker unpacks up to 256 MiB of a batch, and a guest may have 32. */
const MOST_GROWTH = 600 * MIB;
const OFFENDERS = [3, 4, 11];
const WINDOW_MS = 8000;
const PIPELINE = (name: string, module: string, limits = ''): string =>
  `name = "${name}"\n[source]\ntopic = "${name}"\n[[step]]\nname = "step"\nmodule = "${module}"\n${limits}`;

interface Shown {
  name: string;
  state: string;
  records: number;
  deadLetters: { records: number };
}

class World {
  readonly server: Millstream;
  readonly wire: Wire;
  /** What the well pipeline was given. */
  sent = 0;

  constructor(server: Millstream, wire: Wire) {
    this.server = server;
    this.wire = wire;
  }

  async shown(name: string): Promise<Shown> {
    const { pipelines } = (await (await fetch(`${this.server.httpUrl}/api/v1/pipelines`)).json()) as {
      pipelines: Shown[];
    };
    return pipelines.find(each => each.name === name) as Shown;
  }

  async deploy(name: string, body: Uint8Array): Promise<number> {
    const headers = { 'x-module-name': name, 'content-type': 'application/octet-stream' };
    const url = `${this.server.httpUrl}/api/v1/wasm/modules`;
    // A body that is far too large may be cut off before it was taken.
    const answer = await fetch(url, { method: 'POST', headers, body: Buffer.from(body) }).catch(() => null);
    await answer?.text();
    return answer?.status ?? 413;
  }

  async feed(records: number): Promise<void> {
    const values = Array.from({ length: records }, (_, i) => Buffer.from(`${this.sent + i}`));
    this.sent += records;
    await this.wire.produce('well', 0, encodeBatch({ values }));
  }

  poison(values: readonly string[]): Promise<unknown> {
    return this.wire.produce('bad', 0, encodeBatch({ values: values.map(value => Buffer.from(value)) }));
  }
}

test('a hostile module costs its own records and nobody else anything', { timeout: 1_800_000 }, async () => {
  const count = countOr(100);
  const random = seededRandom(seedFor('poison'));
  const server = await Millstream.prepare({ config: { 'etl.workers': 1, 'broker.default_partitions': 1 } });
  let wire: Wire | null = null;
  try {
    const guest = poisonGuest();
    mkdirSync(join(server.folder, 'modules/poison'));
    writeFileSync(join(server.folder, 'modules/poison/poison.wasm'), guest);
    writeFileSync(join(server.folder, 'modules/poison/module.toml'), 'name = "poison"\nversion = "0.1.0"\n');
    const limits = 'limits = { memory = "32MiB", time = "100ms" }\n';
    writeFileSync(join(server.folder, 'pipelines/bad.toml'), PIPELINE('bad', 'poison', limits));
    writeFileSync(join(server.folder, 'pipelines/well.toml'), PIPELINE('well', 'passthrough'));
    await server.restart();
    wire = await Wire.connect(server.bootstrap);
    const world = new World(server, wire);
    await eventually('both run', async () => {
      const states = await Promise.all(['bad', 'well'].map(name => world.shown(name)));
      return states.every(each => each?.state === 'running') || undefined;
    });
    const before = residentBytes(server.pid());
    const feeding = { over: false };
    const fed = (async () => {
      for (; !feeding.over; await sleep(20)) await world.feed(100);
    })();

    const out = new TopicReader('bad.out', 1);
    let dead = 0;
    for (const [kind, code] of Object.entries(KINDS)) {
      const values = Array.from({ length: 20 }, (_, i) => (OFFENDERS.includes(i) ? `${kind}${i}` : `v${i}`));
      await world.poison(values);
      const read: string[] = [];
      await eventually(
        `the neighbours of ${code}`,
        async () => {
          read.push(...(await out.read(world.wire)).flat().map(({ value }) => value.toString()));
          return read.length >= values.length - OFFENDERS.length || undefined;
        },
        60_000,
      );
      expect(read).toEqual(values.filter((_, i) => !OFFENDERS.includes(i)));
      dead += OFFENDERS.length;
      expect((await world.shown('bad')).deadLetters.records).toBe(dead);
    }
    await world.wire.produce('bad', 0, bomb());
    dead++;
    await eventually(
      'the bomb is a dead letter',
      async () => (await world.shown('bad')).deadLetters.records === dead || undefined,
    );

    expect(await world.deploy('poison', withStruct())).toBe(422);
    expect(await world.deploy('poison', Buffer.alloc(90 * MIB, guest))).toBe(413);
    expect(await world.deploy('poison', neverStarts())).toBe(422);
    let taken = 0;
    for (let n = 0; n < count; n++) {
      const status = await world.deploy(
        'damaged',
        damaged(guest, () => random.float()),
      );
      expect([201, 400, 422]).toContain(status);
      if (status !== 201) continue;
      taken++;
      // It is whole enough to be kept; that many versions are not.
      const gone = await fetch(`${server.httpUrl}/api/v1/wasm/modules/damaged`, { method: 'DELETE' });
      expect(gone.status).toBe(204);
    }
    feeding.over = true;
    await fed;
    const growth = peakResidentBytes(server.pid()) - before;
    const speed = count > 100 ? await speeds(world) : null;

    const well = new TopicReader('well.out', 1);
    const read: string[] = [];
    await eventually(
      'all of the others',
      async () => {
        for (const { value } of (await well.read(world.wire)).flat()) read.push(value.toString());
        return read.length >= world.sent || undefined;
      },
      120_000,
    );
    expect(read.length).toBe(world.sent);
    expect(read.findIndex((value, i) => value !== String(i))).toBe(-1);
    expect(await world.shown('well')).toMatchObject({ state: 'running', deadLetters: { records: 0 } });
    const figures = { damaged: count, taken, well: world.sent, growthMib: Math.round(growth / MIB), ...speed };
    report('poison', figures);
    expect(growth).toBeLessThan(MOST_GROWTH);
    if (speed) expect(speed.kept).toBeGreaterThan(0.8);
  } finally {
    wire?.close();
    await server.stop();
  }
});

/** Records a second of the other pipeline, as fast as it goes: quiet, poisoned, poisoned, quiet. */
async function speeds(world: World): Promise<{ quiet: number[]; poisoned: number[]; kept: number }> {
  const filling = { over: false };
  const fill = (async () => {
    const acks: Promise<void>[] = [];
    while (!filling.over) {
      acks.push(world.feed(1000));
      if (acks.length > 16) await acks.shift();
      // It is kept behind by so much, and no more.
      while (!filling.over && world.sent - (await world.shown('well')).records > 200_000) await sleep(5);
    }
    await Promise.all(acks);
  })();
  const measure = async (poisoned: boolean): Promise<number> => {
    const [from, began] = [(await world.shown('well')).records, performance.now()];
    for (let n = 0; performance.now() - began < WINDOW_MS; n++) {
      const kinds = Object.keys(KINDS);
      if (poisoned) await world.poison([`v${n}`, `${kinds[n % kinds.length]}${n}`, `L${n}`]);
      await sleep(200);
    }
    return Math.round((((await world.shown('well')).records - from) / (performance.now() - began)) * 1000);
  };
  await sleep(2000);
  const quiet = [await measure(false)];
  const poisoned = [await measure(true), await measure(true)];
  // What was sent last may still be at work.
  await sleep(5000);
  quiet.push(await measure(false));
  filling.over = true;
  await fill;
  const mean = ([a = 0, b = 0]: number[]): number => (a + b) / 2;
  return { quiet, poisoned, kept: Math.round((mean(poisoned) / mean(quiet)) * 100) / 100 };
}
