import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { readRecords } from '../../core/engine/records.ts';
import { committedBatches } from '../../core/log/committed-batches.ts';
import { componentKeeper } from '../etl/sandbox/state/component-keeper.ts';
import { keeper } from '../etl/sandbox/state/fixture.ts';
import { type Project, startProject, until } from './support.ts';

const PIPELINE = `
name = "counts"
[source]
topic = "words"
[[step]]
name = "keep"
module = "keeper"
idle_after = "50ms"
`;
const CONFIG = (partitions: number): string => `
[network]
kafka_listen = "127.0.0.1:0"
http_listen = "127.0.0.1:0"
[topics.words]
partition_count = ${partitions}
`;
const MANIFEST = 'name = "keeper"\nversion = "1.0.0"\nfile = "keeper.wasm"\n';

let project: Project;
afterEach(() => project?.close());

async function begin(module?: Uint8Array, more = ''): Promise<void> {
  project = await startProject({ 'millstream.toml': CONFIG(1) });
  mkdirSync(join(project.folder, 'modules/keeper'), { recursive: true });
  writeFileSync(join(project.folder, 'modules/keeper/keeper.wasm'), module ?? (await keeper()).bytes);
  project.write('modules/keeper/module.toml', MANIFEST);
  project.write('pipelines/counts.toml', PIPELINE + more);
  await project.restart();
}

const say = (words: string): Promise<Response> =>
  fetch(`${project.url}/api/v1/topics/words/records`, { method: 'POST', body: words });

/** Committed records of a topic's first partition. */
async function recordsIn(topic: string): Promise<{ offset: number; text: string }[]> {
  const log = project.server.broker.log(topic, 0);
  if (!log || log.lastStableOffset === 0) return [];
  const { batches, nextOffset } = await log.read(0, 1e7, log.lastStableOffset);
  return committedBatches(batches, log.abortedWithin(0, nextOffset))
    .flatMap(batch => readRecords(batch))
    .map(({ offset, value }) => ({ offset, text: Buffer.from(value ?? []).toString() }));
}

const valuesIn = async (topic: string): Promise<string[]> => (await recordsIn(topic)).map(({ text }) => text);

const outputs = (count: number): Promise<string[]> =>
  until(
    () => valuesIn('counts.out'),
    found => found.length >= count,
  );
const reason = (): Promise<string | null> =>
  until(
    () => project.server.pipelines[0]?.status().reason ?? null,
    found => found !== null,
  );

/** With pipelines, or without: then nobody is a member of their groups. */
async function restart(enabled: boolean, partitions = 1): Promise<void> {
  project.write('millstream.toml', `${CONFIG(partitions)}[etl]\nenabled = ${enabled}\n`);
  await project.restart();
}
const reset = (...more: string[]) =>
  project.run(['pipeline', 'reset', 'counts', '--brokers', `127.0.0.1:${project.server.kafka.port}`, ...more]);

it('the pipeline of the documentation is one', async () => {
  const text = readFileSync('docs/STATE.md', 'utf8');
  const step = /```toml\n([^]*?)```/.exec(text)?.[1] ?? '';
  project = await startProject();
  project.write('pipelines/payments.toml', `name = "payments"\n[source]\ntopic = "payments"\n${step}`);
  expect(await project.run(['pipeline', 'lint'])).toEqual({ code: 0, out: 'pipelines/payments.toml: ok\n', err: '' });
});

describe('a pipeline whose step keeps state', () => {
  it('may be a component: it goes on after a restart, and its timers come by the clock', {
    timeout: 120_000,
  }, async () => {
    await begin(await componentKeeper(), 'limits = { memory = "128MiB" }\n');
    await say('a');
    await say('timer');
    expect(await outputs(3)).toEqual(['a=1', 'timer=1', 'timer t']);
    await project.restart();
    await say('a');
    expect((await outputs(4)).slice(3)).toEqual(['a=2']);
  });

  it('goes on where it was after a restart', async () => {
    await begin();
    await say('+a');
    await say('+a');
    expect(await outputs(2)).toEqual(['a=1', 'a=2']);
    await project.restart();
    await say('+a');
    expect(await outputs(3)).toEqual(['a=1', 'a=2', 'a=3']);
  });

  it('lets timers come to an idle partition', async () => {
    await begin();
    const base = 1_700_000_000_000;
    await say(`@${Date.now() - base + 300}:soon`);
    expect(await outputs(1)).toEqual(['timer soon']);
    await say(`+a @${Date.now() - base + 300}:again`);
    await outputs(3);
    await say('+a');
    expect(await outputs(4)).toEqual(['timer soon', 'a=1', 'timer again', 'a=2']);
    // Lineage takes a tick for what it is: outputs of no source record.
    expect(await project.run(['audit', 'counts', '--server', project.url])).toMatchObject({ code: 0 });
    const ticked = (await recordsIn('counts.out')).find(({ text }) => text === 'timer again');
    const trace = await project.run(['trace', `counts.out/0@${ticked?.offset}`, '--server', project.url]);
    expect(trace).toMatchObject({
      code: 0,
      out: expect.stringContaining('a timer of a partition that was idle') as string,
    });
  });

  it('is refused with the state of another number of partitions, and of another version, until it is reset', async () => {
    await begin();
    await say('+a');
    await outputs(1);
    project.write('modules/keeper/module.toml', `${MANIFEST}state_version = 2\n`);
    await project.restart();
    expect(await reason()).toMatch(/state of step `keep` has version 1, its module is made for version 2/);
    project.write('modules/keeper/module.toml', MANIFEST);
    await project.restart();
    await project.server.broker.topics.addPartitions('words', 3);
    expect(await reason()).toMatch(/the source has 3 partitions, .* `millstream pipeline reset`/);
    await restart(true, 3);
    expect(await reason()).toMatch(/the source has 3 partitions, the state in counts.state is that of another number/);
  });

  it('begins with an empty state after a reset, at its position or from the beginning', async () => {
    await begin();
    await say('+a');
    await say('+a');
    await outputs(2);
    expect(await reset()).toMatchObject({
      code: 1,
      err: expect.stringContaining('the pipeline counts runs') as string,
    });
    await restart(false);
    expect(await reset()).toMatchObject({ code: 0, err: expect.stringContaining('counts.state is gone') as string });
    await restart(true);
    await say('+a');
    expect(await outputs(3)).toEqual(['a=1', 'a=2', 'a=1']);
    await restart(false);
    expect(await reset('--to', 'earliest')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/words +0 +3 +0/) as string,
    });
    await restart(true);
    expect(await outputs(6)).toEqual(['a=1', 'a=2', 'a=1', 'a=1', 'a=2', 'a=3']);
  });

  it('is refused when position and state do not belong together', async () => {
    await begin();
    await say('+a');
    await outputs(1);
    await restart(false);
    const { broker } = project.server;
    const [kept] = broker.committedOffsets('millstream.counts').filter(({ topic }) => topic === 'words');
    if (!kept) throw new Error('there is no position');
    await broker.commitOffset('millstream.counts', 'words', 0, { offset: 0, metadata: '' });
    await restart(true);
    expect(await reason()).toMatch(/the position says nothing of the state in counts.state/);
    await restart(false);
    await project.server.broker.commitOffset('millstream.counts', 'words', 0, kept.committed);
    await project.server.broker.topics.delete('counts.state');
    await restart(true);
    expect(await reason()).toMatch(/the topic counts.state was deleted: the state at the position is lost/);
  });

  it('takes no dead letter back into its place, and says so', async () => {
    await begin();
    await say('+a #');
    await until(
      () => valuesIn('counts.dead'),
      found => found.length === 1,
    );
    const brokers = `127.0.0.1:${project.server.kafka.port}`;
    const replay = ['dead-letter', 'replay', 'counts', '--brokers', brokers];
    expect(await project.run(replay)).toMatchObject({ code: 1, out: expect.stringContaining('died again') as string });
    await until(
      () => valuesIn('counts.dead'),
      found => found.length === 2,
    );
    expect(project.server.pipelines[0]?.status().deadLetters.last).toMatchObject({ code: 'STATEFUL_STEP' });
  });
});
