import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Project, startProject, until } from '../support.ts';

const PIPELINE = `
name = "orders"
[source]
topic = "orders"
[sinks.lake.file]
path = "out/lake.ndjson"
`;
const config = (enabled: boolean): string => `
[network]
kafka_listen = "127.0.0.1:0"
http_listen = "127.0.0.1:0"
[etl]
enabled = ${enabled}
[topics.orders]
partition_count = 2
`;

describe('the sink commands', () => {
  let project: Project;
  const brokers = (): string[] => ['--brokers', `127.0.0.1:${project.server.kafka.port}`];
  const restart = async (enabled: boolean): Promise<void> => {
    project.write('millstream.toml', config(enabled));
    await project.restart();
  };
  const sink = () => project.server.pipelines[0]?.status().sinks[0];
  const lines = (): string[] => readFileSync(join(project.folder, 'out/lake.ndjson'), 'utf8').trim().split('\n');

  beforeAll(async () => {
    project = await startProject({ 'pipelines/orders.toml': PIPELINE, 'millstream.toml': config(true) });
  });
  afterAll(() => project.close());

  it('list shows each with its lag', async () => {
    await fetch(`${project.url}/api/v1/topics/orders/records`, { method: 'POST', body: '{"n":1}' });
    await until(
      () => sink()?.written,
      written => written === 1,
    );
    const { out } = await project.run(['sink', 'list', '--server', project.url, '--json']);
    expect(JSON.parse(out)).toMatchObject([{ pipeline: 'orders', name: 'lake', type: 'file', written: 1, lag: 0 }]);
  });

  it('reset is refused while the sink runs', async () => {
    expect(await project.run(['sink', 'reset', 'orders', 'lake', ...brokers()])).toMatchObject({
      code: 1,
      err: expect.stringContaining('the sink lake of orders runs') as string,
    });
    expect((await project.run(['sink', 'reset', 'orders', 'nobody', ...brokers()])).err).toContain(
      'has no position yet',
    );
  });

  it('reset lets a sink go on whose state is missing', async () => {
    await restart(false);
    // As an earlier version left it: a position, and no state.
    const { broker } = project.server;
    const before = broker.committedOffsets('millstream.orders.lake');
    for (const { topic, partition, committed } of before) {
      await broker.commitOffset('millstream.orders.lake', topic, partition, { ...committed, metadata: '' });
    }
    await restart(true);
    await until(sink, status => status?.state === 'stopped');
    expect(sink()?.reason).toContain('`millstream sink reset` lets it go on (SINK_STATE_CONFLICT)');
    expect(await project.run(['sink', 'reset', 'orders', 'lake', ...brokers()])).toMatchObject({ code: 0 });
    await restart(true);
    await fetch(`${project.url}/api/v1/topics/orders/records`, { method: 'POST', body: '{"n":2}' });
    await until(
      () => sink()?.written,
      written => written === 1,
    );
    expect(lines()).toEqual(['{"n":1}', '{"n":2}']);
  });

  it('reset --to earliest writes everything again', async () => {
    await restart(false);
    const { code, out } = await project.run(['sink', 'reset', 'orders', 'lake', '--to', 'earliest', ...brokers()]);
    expect({ code, rows: out.split('\n').filter(line => line.startsWith('orders')).length }).toEqual({
      code: 0,
      rows: project.server.broker.committedOffsets('millstream.orders.lake').length,
    });
    await restart(true);
    await until(
      () => sink()?.written,
      written => written === 2,
    );
    expect(lines().toSorted()).toEqual(['{"n":1}', '{"n":1}', '{"n":2}', '{"n":2}']);
  });
});
