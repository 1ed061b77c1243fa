import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../core/base/clock.ts';
import { nodeNetwork } from '../../../core/base/node-network.ts';
import { systemRandom } from '../../../core/base/random.ts';
import { BrokerError } from '../../../core/client/broker-error.ts';
import { Cluster } from '../../../core/client/cluster.ts';
import { consume } from '../../../core/client/consumer.ts';
import { listOffsets } from '../../../core/client/list-offsets.ts';
import { Producer } from '../../../core/client/producer.ts';
import { keyOf } from '../../../core/client/topic-partition.ts';
import { assemble, guestText } from '../../etl/sandbox/guests.ts';
import { type Project, type Ran, startProject, until } from '../support.ts';

/* Replays that meet each other, or die: every letter is sent once. */

const PIPELINE = `
name = "orders"
[source]
topic = "orders"
[[step]]
name = "check"
module = "picky"
`;
const REFUSES_OBJECTS = guestText({
  special: `(if (i32.eq (local.get $kind) (i32.const 123)) (then
    (call $fail (local.get $index) (i32.const 16) (i32.const 7) (i32.const 32) (i32.const 21))))`,
});
const BIN = join(import.meta.dirname, '../../../bin/millstream.js');
/** In several transactions. */
const LETTERS = 2_200;

let project: Project;
let cluster: Cluster;
let produced = 0;

function deploy(text: string): void {
  mkdirSync(join(project.folder, 'modules/picky'), { recursive: true });
  project.write(
    'modules/picky/module.toml',
    'name = "picky"\nversion = "1.0.0"\ndescription = "d"\nfile = "picky.wasm"\nredacts = false\n',
  );
  writeFileSync(join(project.folder, 'modules/picky/picky.wasm'), assemble(text));
}

const address = (): string => `127.0.0.1:${project.server.kafka.port}`;
const replay = (): Promise<Ran> => project.run(['dead-letter', 'replay', 'orders', '--brokers', address()]);

async function restart(module: string): Promise<void> {
  await cluster?.close();
  deploy(module);
  await project.restart();
  const parts = { network: nodeNetwork, clock: systemClock, random: systemRandom, clientId: 'test' };
  cluster = new Cluster({ brokers: [address()], ...parts });
}

/** Where the partition that all records here are in ends, open transactions included; 0 when there is no such topic. */
async function endOf(topic: string): Promise<number> {
  const one = { topic, partition: 0 };
  const ends = await listOffsets(cluster, [one], 'latest', 'read_uncommitted', { forMs: 0 }).catch(unlessMissing);
  return ends?.get(keyOf(one)) ?? 0;
}

/** Values in a topic, in order. */
async function values(topic: string): Promise<string[]> {
  const found: string[] = [];
  for await (const records of consume(cluster, { topic, from: 'earliest', exitAtEnd: true })) {
    found.push(...records.map(({ value }) => Buffer.from(value ?? []).toString()));
  }
  return found;
}

function unlessMissing(error: unknown): null {
  if (!(error instanceof BrokerError && error.code === 'UNKNOWN_TOPIC_OR_PARTITION')) throw error;
  return null;
}

beforeAll(async () => {
  project = await startProject({});
  deploy(REFUSES_OBJECTS);
  project.write('pipelines/orders.toml', PIPELINE);
}, 60_000);

afterAll(async () => {
  await cluster?.close();
  await project.close();
});

describe('replays', { timeout: 120_000 }, () => {
  /** Refused, and the module mended. */
  beforeEach(async () => {
    await restart(REFUSES_OBJECTS);
    const records = Array.from({ length: LETTERS }, () => ({
      key: null,
      value: Buffer.from(`{"n":${produced++}}`),
      partition: 0,
    }));
    await new Producer(cluster).send('orders', records);
    await until(
      () => project.server.pipelines[0]?.status().deadLetters.records,
      dead => dead === LETTERS,
    );
    await restart(guestText());
  }, 120_000);

  /** All letters so far came out of the step, each once. */
  async function expectEachOnce(): Promise<void> {
    const out = await until(
      () => values('orders.out'),
      found => new Set(found).size === produced,
    );
    expect(out).toHaveLength(produced);
    expect(await values('orders.replay')).toHaveLength(produced);
  }

  it('that begin at the same moment send each letter once', async () => {
    const runs = await Promise.all([replay(), replay(), replay()]);
    await expectEachOnce();
    const fenced = runs.filter(({ err }) => err.includes('another replay of orders has begun'));
    expect(fenced).toHaveLength(2);
    for (const { code, out, err } of fenced) {
      expect({ code, out }).toEqual({ code: 1, out: '' });
      expect(err).toMatch(
        /^millstream: another replay of orders has begun; this one stops, with [\d,]+ of 2,200 letters sent$/m,
      );
    }
    const [last] = runs.filter(run => !fenced.includes(run));
    expect(last).toMatchObject({ code: 0 });
  });

  it('that are killed leave nothing half: the next one does the rest', async () => {
    const before = await endOf('orders.replay');
    for (let kills = 0; kills < 2; kills++) {
      const already = await endOf('orders.replay');
      const child = spawn(process.execPath, [BIN, 'dead-letter', 'replay', 'orders', '--brokers', address()], {
        cwd: project.folder,
        stdio: 'ignore',
      });
      const ended = once(child, 'exit');
      await until(
        async () => child.exitCode !== null || (await endOf('orders.replay')) > already,
        isTime => isTime,
      );
      child.kill('SIGKILL');
      await ended;
    }
    expect(await endOf('orders.replay')).toBeGreaterThan(before);
    expect(await replay()).toMatchObject({ code: 0 });
    await expectEachOnce();
  });
});
