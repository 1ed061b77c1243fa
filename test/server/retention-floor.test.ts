import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { retentionFloor } from '../../server/retention-floor.ts';
import { loadProject } from '../../server/project.ts';
import { requireSettings } from '../../server/settings.ts';
import { type Project, startProject, until } from './support.ts';

const PIPELINE = `
name = "orders"
[source]
topic = "orders"
[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["email"] }
[outputs]
default = { topic = "orders.out", retention = "1ms" }
[sinks.first.file]
path = "out/first.ndjson"
[sinks.second]
[sinks.second.file]
path = "out/second.ndjson"
[dead_letter.file]
path = "out/dead.ndjson"
`;

function plansOf(project: Project) {
  return loadProject(requireSettings(undefined, {}, project.folder), {}).pipelines.map(({ plan }) => plan);
}

describe('the retention floor', () => {
  it('is the lowest position of the sinks on a topic, and 0 while one has none', async () => {
    const project = await startProject({ 'pipelines/orders.toml': PIPELINE });
    const positions = new Map([
      ['millstream.orders.first orders.out 0', 7],
      ['millstream.orders.second orders.out 0', 5],
      ['millstream.orders.first orders.out 1', 9],
      ['millstream.orders.dead_letter orders.dead 0', 3],
    ]);
    const floor = retentionFloor(plansOf(project), (group, topic, partition) => {
      const offset = positions.get(`${group} ${topic} ${partition}`);
      return offset === undefined ? null : { offset };
    });
    expect(floor('orders.out', 0)).toBe(5);
    expect(floor('orders.out', 1)).toBe(0);
    expect(floor('orders.dead', 0)).toBe(3);
    // Nobody has declared a sink on these.
    expect(floor('orders', 0)).toBe(Number.POSITIVE_INFINITY);
    expect(floor('elsewhere', 0)).toBe(Number.POSITIVE_INFINITY);
    await project.close();
  });

  it('keeps what a sink that cannot write has not taken, and no longer', async () => {
    const project = await startProject({
      'pipelines/orders.toml': PIPELINE,
      'millstream.toml': `
[network]
kafka_listen = "127.0.0.1:0"
http_listen = "127.0.0.1:0"
[wal]
segment_size_bytes = "1KiB"
[topics.orders]
partition_count = 1
`,
      // A folder where the second sink wants its file.
      'out/second.ndjson/in-the-way': '',
    });
    const value = JSON.stringify({ email: 'a@b.c', text: 'x'.repeat(300) });
    for (let i = 0; i < 10; i++) {
      await fetch(`${project.url}/api/v1/topics/orders/records`, { method: 'POST', body: value });
    }
    const { broker, pipelines } = project.server;
    const sinks = () => pipelines[0]?.status().sinks ?? [];
    await until(
      sinks,
      ([first, second]) => first?.written === 10 && second !== undefined && second.lag >= 10 && second.state !== 'idle',
    );
    expect(pipelines[0]?.status()).toMatchObject({
      state: 'degraded',
      reason: expect.stringContaining('second is ') as string,
    });
    await broker.housekeeping.run();
    expect(broker.log('orders.out', 0)?.startOffset).toBe(0);

    rmSync(join(project.folder, 'out/second.ndjson'), { recursive: true });
    await until(sinks, ([, second]) => second?.written === 10 && second.lag === 0);
    await until(
      () => broker.groups.offsets.durable('millstream.orders.second', 'orders.out', 0)?.offset,
      // Markers of transactions take offsets too.
      offset => (offset ?? 0) >= 10,
    );
    await broker.housekeeping.run();
    expect(broker.log('orders.out', 0)?.startOffset).toBeGreaterThan(0);
    await project.close();
  });
});
