import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../core/base/clock.ts';
import type { OutputPlan, PipelinePlan, SinkPlan } from '../../etl/definition/plan.ts';
import { BacklogWatch } from '../../server/backlog.ts';
import { type Project, startProject, until } from './support.ts';

const pipeline = (output: string): string => `
name = "orders"
[source]
topic = "orders"
[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["email"] }
[outputs]
default = { topic = "orders.out", ${output} }
[sinks.quick.file]
path = "out/quick.ndjson"
[sinks.slow]
retry = { from = "10ms", to = "50ms" }
[sinks.slow.file]
path = "out/slow.ndjson"
`;

const CONFIG = `
[network]
kafka_listen = "127.0.0.1:0"
http_listen = "127.0.0.1:0"
[wal]
segment_size_bytes = "4KiB"
[topics.orders]
partition_count = 1
`;

/** A project whose sink `slow` cannot write: a folder is where it wants its file. */
const begin = (output: string): Promise<Project> =>
  startProject({
    'pipelines/orders.toml': pipeline(output),
    'millstream.toml': CONFIG,
    'out/slow.ndjson/in-the-way': '',
  });
const letThrough = (project: Project): void => rmSync(join(project.folder, 'out/slow.ndjson'), { recursive: true });
const statusOf = (project: Project) => project.server.pipelines[0]?.status();
const sinkOf = (project: Project, name: string) => statusOf(project)?.sinks.find(sink => sink.name === name);

async function produce(project: Project, count: number): Promise<void> {
  const body = JSON.stringify({ email: 'a@b.c', text: 'x'.repeat(1000) });
  for (let i = 0; i < count; i++) {
    await fetch(`${project.url}/api/v1/topics/orders/records`, { method: 'POST', body });
  }
}

describe('an output whose sink is too far behind', () => {
  it('pauses its pipeline, names the sink, and goes on when that has caught up', async () => {
    const project = await begin('max_backlog = "20KiB"');
    let produced = 0;
    while (statusOf(project)?.state !== 'paused') {
      await produce(project, 10);
      produced += 10;
    }
    expect(statusOf(project)?.reason).toMatch(
      /^the sink slow holds it up: \d+KiB of orders.out are not written yet, max_backlog is 20KiB$/,
    );
    // What was under way still comes; what arrives now waits in the source topic.
    await new Promise(resolve => setTimeout(resolve, 1000));
    const written = project.server.broker.log('orders.out', 0)?.endOffset ?? 0;
    await produce(project, 10);
    await new Promise(resolve => setTimeout(resolve, 500));
    expect(project.server.broker.log('orders.out', 0)?.endOffset).toBe(written);
    expect(statusOf(project)?.state).toBe('paused');
    expect(statusOf(project)?.lag).toBeGreaterThanOrEqual(10);
    letThrough(project);
    await until(
      () => statusOf(project),
      status => status?.state === 'running' && status.sinks.every(sink => sink.written === produced + 10),
    );
    await project.close();
  });

  it('lets the topic go on without it where that is wanted, and says what it has lost', async () => {
    const project = await begin('max_backlog = "20KiB", on_backlog = "detach_sink", retention = "1ms"');
    letThrough(project);
    await produce(project, 3);
    await until(
      () => sinkOf(project, 'slow')?.written,
      written => written === 3,
    );
    rmSync(join(project.folder, 'out/slow.ndjson'));
    project.write('out/slow.ndjson/in-the-way', '');
    await project.restart();
    let produced = 0;
    while (sinkOf(project, 'slow')?.reason?.includes('does not wait for it any more') !== true) {
      await produce(project, 10);
      produced += 10;
    }
    await produce(project, 20);
    produced += 20;
    await until(
      () => sinkOf(project, 'quick')?.written,
      written => written === produced,
    );
    expect(statusOf(project)?.state).toBe('degraded');
    await new Promise(resolve => setTimeout(resolve, 20));
    await project.server.broker.housekeeping.run();
    const lost = project.server.broker.log('orders.out', 0)?.startOffset ?? 0;
    expect(lost).toBeGreaterThan(0);
    // It stands before the gap.
    letThrough(project);
    await project.restart();
    await until(
      () => sinkOf(project, 'slow'),
      sink => sink?.state === 'stalled',
    );
    expect(sinkOf(project, 'slow')?.reason).toContain(` to ${lost - 1} are lost`);
    await project.close();
  }, 60_000);
});

describe('the watch on backlogs', () => {
  const watchOf = (onBacklog: 'pause' | 'detach_sink') => {
    const log = { startOffset: 0, lastStableOffset: 100, sizeBytes: 1000 };
    const positions = { lake: 100, sea: 100 };
    const output = { name: 'default', topic: 'out', maxBacklogBytes: 500, onBacklog } as OutputPlan;
    const sinks = [
      { name: 'lake', topic: 'out' },
      { name: 'sea', topic: 'out' },
    ] as SinkPlan[];
    const plan = { name: 'p', steps: [{}], outputs: [output], sinks } as PipelinePlan;
    const watch = new BacklogWatch({
      plans: [plan],
      logs: () => [log],
      position: group => positions[group.split('.')[2] as 'lake'],
      clock: systemClock,
    });
    return { watch, log, positions };
  };

  it('pauses above the limit only', () => {
    const { watch, positions } = watchOf('pause');
    for (const [lake, holds] of [
      [100, false],
      [50, false],
      [49, true],
      [50, false],
    ] as const) {
      positions.lake = lake;
      watch.look();
      expect(watch.holds('p') !== null).toBe(holds);
    }
    expect(watch.isDetached('p', 'lake')).toBe(null);
  });

  it('detaches the sink that is behind, until it has caught up by half', () => {
    const { watch, log, positions } = watchOf('detach_sink');
    positions.lake = 10;
    watch.look();
    expect(watch.holds('p')).toBe(null);
    expect(watch.isDetached('p', 'lake')).toContain('out does not wait for it any more');
    expect(watch.isDetached('p', 'sea')).toBe(null);
    // Less is left because retention has removed it: that is no catching up.
    Object.assign(log, { startOffset: 90, sizeBytes: 100 });
    watch.look();
    expect(watch.isDetached('p', 'lake')).not.toBe(null);
    positions.lake = 90;
    watch.look();
    expect(watch.isDetached('p', 'lake')).toBe(null);
  });
});
