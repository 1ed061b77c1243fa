import { Kafka, logLevel } from 'kafkajs';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { Admin } from '../../../core/client/admin.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { Producer } from '../../../core/client/producer.ts';
import type { Lease, LeaseHandler } from '../../../core/engine/engine.ts';
import { KafkaEngine } from '../../../core/engine/kafka.ts';
import { encodeBatch, readRecords } from '../../../core/engine/records.ts';
import { ApiKey } from '../../../core/protocol/api.ts';
import { until } from '../client/client-suite.ts';
import { type KafkaProcess, kafkaProcess } from './kafka-fixture.ts';

const batch = (...values: string[]): Uint8Array =>
  encodeBatch(values.map(value => ({ timestamp: 1, key: null, value: Buffer.from(value) })));

/** What happens to leases when things go wrong, on any broker. */
export function kafkaFaultsSuite(
  name: string,
  start: () => Promise<{ bootstrap: string; stop(): Promise<void> }>,
): void {
  describe(`faults of engine kafka, ${name}`, () => {
    vi.setConfig({ testTimeout: 120_000, hookTimeout: 240_000 });
    let broker: Awaited<ReturnType<typeof start>>;
    let processes: KafkaProcess[] = [];
    let next = 1;
    let over = new AbortController();
    beforeAll(async () => {
      broker = await start();
    });
    afterEach(async () => {
      over.abort();
      await Promise.all(processes.map(each => each.close()));
      processes = [];
    });
    afterAll(() => broker?.stop());
    const process = (): KafkaProcess => {
      const made = kafkaProcess(broker.bootstrap);
      processes.push(made);
      return made;
    };
    const names = (): { input: string; output: string; group: string } => {
      const n = next++;
      return { input: `in-${n}`, output: `out-${n}`, group: `group-${n}` };
    };
    const collector = (): LeaseHandler & { leases: Lease[] } => {
      const leases: Lease[] = [];
      return {
        leases,
        assigned: async lease => void leases.push(lease),
        revoked: async lease => void leases.splice(leases.indexOf(lease), 1),
      };
    };
    const committed = async ({ engine }: KafkaProcess, topic: string, count: number): Promise<string[]> => {
      const reader = collector();
      const membership = await engine.join(`reader-${next++}`, [topic], reader);
      const values: string[] = [];
      for (let from = 0n; values.length < count; ) {
        const chunk = await (reader.leases[0] as Lease).read(from, 4096);
        for (const record of chunk.batches.flatMap(each => readRecords(each))) {
          if (record.offset >= from) values.push(Buffer.from(record.value ?? []).toString());
        }
        from = chunk.next;
      }
      await membership.leave();
      return values;
    };

    test('a member that was thrown out commits nothing more, and comes back with a new lease', async () => {
      const { input, group } = names();
      const one = process();
      await one.engine.ensureTopic({ name: input, partitions: 1 });
      const member = collector();
      await one.engine.join(group, [input], member);
      const zombie = member.leases[0] as Lease;
      await zombie.commit({ next: 1n, state: 'mine' });
      const { members } = await new Admin(one.cluster).groups.describe(group);
      const memberId = members[0]?.memberId ?? '';
      await one.cluster.toCoordinator(group, ApiKey.LeaveGroup, { groupId: group, memberId, members: [{ memberId }] });
      const refused = zombie.commit({ next: 99n, state: 'never' });
      await expect(refused).rejects.toMatchObject({ kind: 'conflict', code: 'FENCED' });
      expect(zombie.signal.aborted).toBe(true);
      expect((await zombie.read(0n, 1024)).batches).toEqual([]);
      await until(() => member.leases.length === 1 && member.leases[0] !== zombie);
      expect(member.leases[0]?.position).toEqual({ next: 1n, state: 'mine' });
      expect(member.leases[0]?.epoch).toBeGreaterThan(zombie.epoch);
    });

    test('a heartbeat that is answered late says nothing of the membership that has begun since', async () => {
      const { input, group } = names();
      const [one, two] = [process(), process()];
      await one.engine.ensureTopic({ name: input, partitions: 1 });
      const member = collector();
      await one.engine.join(group, [input], member);
      const zombie = member.leases[0] as Lease;
      const { members } = await new Admin(two.cluster).groups.describe(group);
      const memberId = members[0]?.memberId ?? '';
      // The heartbeat comes to the coordinator when that has thrown the member out, as after a stop of its process.
      one.network.holdFrom = ApiKey.Heartbeat;
      await until(() => one.network.isHolding);
      await two.cluster.toCoordinator(group, ApiKey.LeaveGroup, { groupId: group, memberId, members: [{ memberId }] });
      await expect(zombie.commit({ next: 1n })).rejects.toMatchObject({ code: 'FENCED' });
      await until(() => member.leases.length === 0);
      one.network.letGo();
      await until(() => member.leases.length === 1);
      await new Promise(resolve => setTimeout(resolve, 300));
      const lease = member.leases[0] as Lease;
      expect(lease.signal.aborted).toBe(false);
      await lease.commit({ next: 2n });
    });

    test('an owner that was taken over writes nothing more, not even in a transaction that it began before', async () => {
      const { input, output, group } = names();
      const one = process();
      await one.engine.ensureTopic({ name: input, partitions: 1 });
      await one.engine.ensureTopic({ name: output, partitions: 1 });
      const member = collector();
      await one.engine.join(group, [input], member);
      const zombie = member.leases[0] as Lease;
      await zombie.commit({ next: 1n, append: [{ topic: output, partition: 0, batch: batch('before') }] });
      // Its process stands still; the group gives the partition to another one.
      one.network.unplug();
      const two = process();
      const other = collector();
      await two.engine.join(group, [input], other);
      const owner = other.leases[0] as Lease;
      expect(owner.position?.next).toBe(1n);
      one.network.plugIn();
      const late = zombie.commit({ next: 7n, append: [{ topic: output, partition: 0, batch: batch('late') }] });
      await expect(late).rejects.toMatchObject({ kind: 'conflict', code: 'FENCED' });
      await owner.commit({ next: 2n, append: [{ topic: output, partition: 0, batch: batch('after') }] });
      expect(await committed(two, output, 2)).toEqual(['before', 'after']);
    });

    test('two processes: a partition is given back before it is assigned anew, what stays is not disturbed', async () => {
      const { input, group } = names();
      const [one, two] = [process(), process()];
      await one.engine.ensureTopic({ name: input, partitions: 4 });
      const story: string[] = [];
      const teller = (who: string, leases: Lease[]): LeaseHandler => ({
        async assigned(lease) {
          story.push(`${who}+${lease.partition}`);
          leases.push(lease);
        },
        async revoked(lease) {
          leases.splice(leases.indexOf(lease), 1);
          // The last commit of an owner belongs before the first read of the next.
          await lease.commit({ next: 5n, state: who });
          await new Promise(resolve => setTimeout(resolve, 200));
          story.push(`${who}-${lease.partition}`);
        },
      });
      const [a, b]: [Lease[], Lease[]] = [[], []];
      await one.engine.join(group, [input], teller('a', a));
      const before = [...a];
      // Commits go on while the group rebalances.
      over = new AbortController();
      const { signal } = over;
      const committing = (async () => {
        for (let i = 0; !signal.aborted; i++)
          await Promise.all(a.map(lease => lease.commit({ next: 5n, state: `a${i}` })));
      })();
      const membership = await two.engine.join(group, [input], teller('b', b));
      expect([a.length, b.length]).toEqual([2, 2]);
      for (const lease of b) {
        expect(story.indexOf(`a-${lease.partition}`)).toBeLessThan(story.indexOf(`b+${lease.partition}`));
        expect(lease.position).toEqual({ next: 5n, state: 'a' });
      }
      // The same leases, not new ones.
      expect(a.every(lease => before.includes(lease) && !lease.signal.aborted)).toBe(true);
      await membership.leave();
      await until(() => a.length === 4);
      over.abort();
      await committing;
    });

    test('exclusive: one process has all partitions, the next one gets them when it goes', async () => {
      const { input, group } = names();
      const [one, two] = [process(), process()];
      await one.engine.ensureTopic({ name: input, partitions: 3 });
      const [a, b] = [collector(), collector()];
      const first = await one.engine.join(group, [input], a, { exclusive: true });
      await two.engine.join(group, [input], b, { exclusive: true });
      expect([a.leases.length, b.leases.length]).toEqual([3, 0]);
      await a.leases[0]?.commit({ next: 5n, state: 'mine' });
      await first.leave();
      await until(() => b.leases.length === 3);
      expect(b.leases.filter(lease => lease.position?.state === 'mine')).toHaveLength(1);
    });

    test('broken connections cost no output and double none', async () => {
      const { input, output, group } = names();
      const one = process();
      await one.engine.ensureTopic({ name: input, partitions: 1 });
      await one.engine.ensureTopic({ name: output, partitions: 1 });
      const member = collector();
      await one.engine.join(group, [input], member);
      const lease = member.leases[0] as Lease;
      const wanted: string[] = [];
      for (let i = 0; i < 25; i++) {
        wanted.push(String(i));
        const commit = lease.commit({
          next: BigInt(i + 1),
          state: String(i),
          append: [{ topic: output, partition: 0, batch: batch(String(i)) }],
        });
        if (i % 3 === 1) one.network.loseNextAnswer = true;
        if (i % 5 === 2) setTimeout(() => one.network.cut(), i);
        await commit;
      }
      expect(await committed(one, output, wanted.length)).toEqual(wanted);
    });

    test('who waits for brokers that are away can give up the join', async () => {
      const { input, group } = names();
      const one = process();
      await one.engine.ensureTopic({ name: input, partitions: 1 });
      one.network.unplug();
      const giveUp = new AbortController();
      const joining = one.engine.join(group, [input], collector(), { signal: giveUp.signal });
      const asking = one.engine.ensureTopic({ name: 'another' }, giveUp.signal);
      setTimeout(() => giveUp.abort(), 300);
      const since = performance.now();
      await expect(joining).rejects.toMatchObject({ kind: 'closed' });
      await expect(asking).rejects.toMatchObject({ kind: 'unavailable' });
      expect(performance.now() - since).toBeLessThan(10_000);
      one.network.plugIn();
    });

    test('who leaves while the brokers are away does not wait for its commits for ever', async () => {
      const { input, group } = names();
      const one = process();
      await one.engine.ensureTopic({ name: input, partitions: 1 });
      const member = collector();
      // Its session is longer than it waits.
      const engine = new KafkaEngine({ cluster: one.cluster, logger: silentLogger });
      await engine.join(group, [input], member);
      one.network.unplug();
      const refused = expect((member.leases[0] as Lease).commit({ next: 1n })).rejects.toMatchObject({
        code: 'FENCED',
      });
      const since = performance.now();
      await engine.close();
      await refused;
      expect(performance.now() - since).toBeLessThan(20_000);
      one.network.plugIn();
    });

    test('who waits for positions that a transaction holds can leave all the same', async () => {
      const { input, group } = names();
      const one = process();
      await one.engine.ensureTopic({ name: input, partitions: 1 });
      const kafka = new Kafka({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING });
      const producer = kafka.producer({ transactionalId: `${group}-holder`, maxInFlightRequests: 1 });
      await producer.connect();
      const open = await producer.transaction();
      const topics = [{ topic: input, partitions: [{ partition: 0, offset: '7' }] }];
      await open.sendOffsets({ consumerGroupId: group, topics });
      const joining = one.engine.join(group, [input], collector());
      const left = expect(joining).rejects.toMatchObject({ kind: 'closed' });
      await new Promise(resolve => setTimeout(resolve, 500));
      const since = performance.now();
      await one.engine.close();
      await left;
      // The coordinator would end the transaction after a minute.
      expect(performance.now() - since).toBeLessThan(20_000);
      // Who stays gets them once they are decided.
      const member = collector();
      const patient = process();
      const other = patient.engine.join(group, [input], member);
      await open.commit();
      await other;
      expect(member.leases[0]?.position?.next).toBe(7n);
      await producer.disconnect();
    });

    test('a topic that was deleted and made anew is another one', async () => {
      const { input, group } = names();
      const one = process();
      const { topicId } = await one.engine.ensureTopic({ name: input, partitions: 1 });
      const member = collector();
      await one.engine.join(group, [input], member);
      const old = member.leases[0] as Lease;
      const waiting = old.read(0n, 1024);
      const admin = new Admin(one.cluster);
      await admin.topics.delete(input);
      expect((await waiting).batches).toEqual([]);
      expect(old.signal.aborted).toBe(true);
      await until(() =>
        one.engine.ensureTopic({ name: input, partitions: 1 }).then(
          found => found.topicId !== topicId,
          () => false,
        ),
      );
      await until(() => member.leases.length === 1 && member.leases[0]?.topicId !== topicId);
      expect(member.leases[0]?.position).toBeNull();
    });

    test('records of aborted transactions are left out: two in one fetch, and one longer than a fetch', async () => {
      const { input, group } = names();
      const one = process();
      await one.engine.ensureTopic({ name: input, partitions: 1 });
      const kafka = new Kafka({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING });
      const producer = kafka.producer({ transactionalId: `${group}-writer`, maxInFlightRequests: 1 });
      await producer.connect();
      const write = async (outcome: 'commit' | 'abort', ...values: string[]): Promise<void> => {
        const transaction = await producer.transaction();
        for (const value of values) await transaction.send({ topic: input, messages: [{ partition: 0, value }] });
        await transaction[outcome]();
      };
      await write('abort', 'no-1');
      await write('abort', 'no-2');
      await write('commit', 'yes-1');
      await write('abort', ...Array.from({ length: 40 }, (_, i) => `no-${i} `.padEnd(500, 'x')));
      await write('commit', 'yes-2');
      await producer.disconnect();
      const plain = new Producer(one.cluster);
      await plain.send(input, [{ key: null, value: Buffer.from('yes-3'), partition: 0 }]);
      await plain.close();
      expect(await committed(one, input, 3)).toEqual(['yes-1', 'yes-2', 'yes-3']);
    });
  });
}
