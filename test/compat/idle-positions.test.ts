import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { committedOffsets } from '../../core/client/group-offsets.ts';
import type { Lease } from '../../core/engine/engine.ts';
import { type KafkaProcess, kafkaProcess } from '../core/engine/kafka-fixture.ts';
import { startKafka } from '../servers/kafka.ts';
import { eventually } from '../servers/process.ts';
import type { Target } from '../servers/target.ts';
import { requireTool } from '../servers/tools.ts';

/** What Apache Kafka forgets after offsets.retention (KIP-211): the positions of a group without members. */
const RETENTION_MINUTES = 1;

describe.skipIf(requireTool('kafka') === null)('positions on an Apache Kafka that forgets them after a minute', () => {
  vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });
  let kafka: Target;
  const processes: KafkaProcess[] = [];
  beforeAll(async () => {
    kafka = await startKafka({
      'offsets.retention.minutes': String(RETENTION_MINUTES),
      'offsets.retention.check.interval.ms': '1000',
      'group.min.session.timeout.ms': '500',
      'offsets.topic.num.partitions': '2',
      'transaction.state.log.num.partitions': '2',
    });
  });
  afterAll(async () => {
    await Promise.all(processes.map(each => each.close()));
    await kafka?.stop();
  });
  const take = async (group: string, topic: string): Promise<{ lease: Lease; leave: () => Promise<void> }> => {
    const process = kafkaProcess(kafka.bootstrap);
    processes.push(process);
    await process.engine.ensureTopic({ name: topic, partitions: 1 });
    const leases: Lease[] = [];
    const handler = { assigned: async (lease: Lease) => void leases.push(lease), revoked: async () => {} };
    const membership = await process.engine.join(group, [topic], handler);
    return { lease: leases[0] as Lease, leave: () => membership.leave() };
  };

  test('an idle lease keeps its position and state; the group that was left has lost them', async () => {
    const held = await take('held', 'held');
    await held.lease.commit({ next: 5n, state: 'mine' });
    const left = await take('left', 'left');
    await left.lease.commit({ next: 5n, state: 'gone' });
    await left.leave();
    const positions = async (group: string): Promise<number> =>
      (await committedOffsets((processes[0] as KafkaProcess).cluster, group, null)).size;
    expect(await positions('left')).toBe(1);
    await eventually(
      'the end of the position that nobody holds',
      async () => (await positions('left')) === 0 || undefined,
      (RETENTION_MINUTES * 60 + 60) * 1000,
    );
    expect((await held.lease.peers()).map(each => each.position)).toEqual([{ next: 5n, state: 'mine' }]);
    await held.leave();
    const next = await take('held', 'held');
    expect(next.lease.position).toEqual({ next: 5n, state: 'mine' });
  });
});
