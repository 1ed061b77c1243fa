import { afterEach, describe, expect, it } from 'vitest';
import type { Append, Engine, Lease, LeaseHandler, Membership } from '../../../core/engine/engine.ts';
import { encodeBatch, type NewRecord, readRecords } from '../../../core/engine/records.ts';

/*
 * The suite that every engine must pass, unchanged. A fixture starts the engine on something real and can end it the
 * hard way.
 */

export interface EngineFixture {
  engine: Engine;
  /** Puts records into a topic as a producer would. */
  produce: (topic: string, partition: number, records: NewRecord[]) => Promise<void>;
  /** Ends the engine and what it runs on without a clean close, then starts it again on the same data. */
  crashAndRestart(): Promise<void>;
  stop(): Promise<void>;
}

const record = (value: string): NewRecord => ({ timestamp: 1_700_000_000_000, key: null, value: Buffer.from(value) });
const valuesOf = (batches: Uint8Array[], from = 0n): string[] =>
  batches
    .flatMap(batch => readRecords(batch))
    .filter(r => BigInt(r.offset) >= from)
    .map(r => Buffer.from(r.value ?? []).toString());
const append = (topic: string, partition: number, ...values: string[]): Append => ({
  topic,
  partition,
  batch: encodeBatch(values.map(record)),
});

/** A member that keeps its leases in a list. */
function collector(): LeaseHandler & { leases: Lease[] } {
  const leases: Lease[] = [];
  return {
    leases,
    assigned: async lease => void leases.push(lease),
    revoked: async lease => void leases.splice(leases.indexOf(lease), 1),
  };
}

export function engineConformance(name: string, open: () => Promise<EngineFixture>): void {
  describe(`engine ${name}`, () => {
    const fixtures: EngineFixture[] = [];
    const memberships: Membership[] = [];
    const start = async (): Promise<EngineFixture> => {
      const fixture = await open();
      fixtures.push(fixture);
      return fixture;
    };
    afterEach(async () => {
      for (const membership of memberships.splice(0)) await membership.leave().catch(() => {});
      for (const fixture of fixtures.splice(0)) await fixture.stop();
    });

    it('creates a topic once and keeps its id', async () => {
      const { engine } = await start();
      const first = await engine.ensureTopic({ name: 'in', partitions: 3 });
      const again = await engine.ensureTopic({ name: 'in' });
      expect(again).toEqual(first);
      expect(first.partitions).toBe(3);
      await expect(engine.ensureTopic({ name: 'in', partitions: 2 })).rejects.toMatchObject({ kind: 'conflict' });
      await expect(engine.ensureTopic({ name: 'no good/name' })).rejects.toMatchObject({ kind: 'invalid' });
    });

    it('gives one member every partition, each once', async () => {
      const { engine } = await start();
      await engine.ensureTopic({ name: 'in', partitions: 4 });
      const member = collector();
      memberships.push(await engine.join('g', ['in'], member));
      expect(member.leases.map(lease => lease.partition).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3]);
      expect(member.leases.every(lease => lease.position === null && lease.start === 0n)).toBe(true);
    });

    it('reads what was produced, verbatim and from the middle of a batch', async () => {
      const { engine, produce } = await start();
      await engine.ensureTopic({ name: 'in', partitions: 1 });
      await produce('in', 0, ['a', 'b', 'c'].map(record));
      const member = collector();
      memberships.push(await engine.join('g', ['in'], member));
      const lease = member.leases[0] as Lease;
      expect(lease.lag(0n)).toBe(3n);
      const chunk = await lease.read(1n, 1024);
      expect(valuesOf(chunk.batches, 1n)).toEqual(['b', 'c']);
      expect(chunk.next).toBe(3n);
    });

    it('waits for records and stops waiting when the lease ends', async () => {
      const { engine, produce } = await start();
      await engine.ensureTopic({ name: 'in', partitions: 1 });
      const member = collector();
      const membership = await engine.join('g', ['in'], member);
      const lease = member.leases[0] as Lease;
      const waiting = lease.read(0n, 1024);
      await produce('in', 0, [record('late')]);
      expect(valuesOf((await waiting).batches)).toEqual(['late']);
      const never = lease.read(1n, 1024);
      await membership.leave();
      expect((await never).batches).toEqual([]);
      expect(lease.signal.aborted).toBe(true);
    });

    it('refuses to read outside the log', async () => {
      const { engine } = await start();
      await engine.ensureTopic({ name: 'in', partitions: 1 });
      const member = collector();
      memberships.push(await engine.join('g', ['in'], member));
      await expect((member.leases[0] as Lease).read(9n, 1024)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
    });

    it('commits outputs over topics, position and state, and gives them to the next member', async () => {
      const { engine, produce } = await start();
      await engine.ensureTopic({ name: 'in', partitions: 1 });
      await engine.ensureTopic({ name: 'out', partitions: 2 });
      await engine.ensureTopic({ name: 'dead', partitions: 1 });
      await produce('in', 0, ['a', 'b'].map(record));
      const first = collector();
      const membership = await engine.join('g', ['in'], first);
      const { ranges } = await (first.leases[0] as Lease).commit({
        next: 2n,
        state: 'v1:where',
        append: [append('out', 1, 'A', 'B'), append('dead', 0, 'x')],
      });
      expect(ranges).toEqual([
        { topic: 'out', partition: 1, from: 0n, to: 2n },
        { topic: 'dead', partition: 0, from: 0n, to: 1n },
      ]);
      await membership.leave();

      const next = collector();
      memberships.push(await engine.join('g', ['in'], next));
      expect((next.leases[0] as Lease).position).toEqual({ next: 2n, state: 'v1:where' });
      const reader = collector();
      memberships.push(await engine.join('reader', ['out'], reader));
      const out = reader.leases.find(lease => lease.partition === 1) as Lease;
      expect(valuesOf((await out.read(0n, 1024)).batches)).toEqual(['A', 'B']);
    });

    it('keeps the state when a commit does not name one, and limits it', async () => {
      const { engine } = await start();
      await engine.ensureTopic({ name: 'in', partitions: 1 });
      const member = collector();
      const membership = await engine.join('g', ['in'], member);
      const lease = member.leases[0] as Lease;
      await lease.commit({ next: 0n, state: 's'.repeat(3000) });
      await lease.commit({ next: 0n });
      await expect(lease.commit({ next: 0n, state: 's'.repeat(3001) })).rejects.toMatchObject({ kind: 'invalid' });
      await membership.leave();
      const next = collector();
      memberships.push(await engine.join('g', ['in'], next));
      expect((next.leases[0] as Lease).position?.state).toBe('s'.repeat(3000));
    });

    it('takes overlapping commits in call order', async () => {
      const { engine } = await start();
      await engine.ensureTopic({ name: 'in', partitions: 1 });
      await engine.ensureTopic({ name: 'out', partitions: 1 });
      const member = collector();
      const membership = await engine.join('g', ['in'], member);
      const lease = member.leases[0] as Lease;
      const many = Array.from({ length: 50 }, (_, i) =>
        lease.commit({ next: BigInt(i + 1), append: [append('out', 0, String(i))] }),
      );
      await Promise.all(many);
      const reader = collector();
      memberships.push(await engine.join('reader', ['out'], reader));
      const values: string[] = [];
      for (let from = 0n; values.length < 50; ) {
        const chunk = await (reader.leases[0] as Lease).read(from, 64);
        values.push(...valuesOf(chunk.batches, from));
        from = chunk.next;
      }
      expect(values).toEqual(many.map((_, i) => String(i)));
      await membership.leave();
      const next = collector();
      memberships.push(await engine.join('g', ['in'], next));
      expect((next.leases[0] as Lease).position?.next).toBe(50n);
    });

    it('lets no commit overtake one that failed, and goes on from the position', async () => {
      const { engine } = await start();
      await engine.ensureTopic({ name: 'in', partitions: 1 });
      await engine.ensureTopic({ name: 'out', partitions: 1 });
      const member = collector();
      const membership = await engine.join('g', ['in'], member);
      const lease = member.leases[0] as Lease;
      await lease.commit({ next: 1n, append: [append('out', 0, 'first')] });
      const refused = [
        lease.commit({ next: 2n, append: [append('no-such-topic', 0, 'never')] }),
        lease.commit({ next: 3n, append: [append('out', 0, 'behind')] }),
        lease.commit({ next: 4n }),
      ];
      expect((await Promise.allSettled(refused)).map(each => each.status)).toEqual(refused.map(() => 'rejected'));
      await new Promise(resolve => setTimeout(resolve, 10));
      await lease.commit({ next: 5n, append: [append('out', 0, 'again')] });
      await membership.leave();
      const next = collector();
      memberships.push(await engine.join('g', ['in'], next));
      expect((next.leases[0] as Lease).position?.next).toBe(5n);
      const reader = collector();
      memberships.push(await engine.join('reader', ['out'], reader));
      const values: string[] = [];
      for (let from = 0n; values.length < 2; ) {
        const chunk = await (reader.leases[0] as Lease).read(from, 1024);
        values.push(...valuesOf(chunk.batches, from));
        from = chunk.next;
      }
      expect(values).toEqual(['first', 'again']);
    });

    it('shares the partitions between two members and fences the one that lost a partition', async () => {
      const { engine } = await start();
      await engine.ensureTopic({ name: 'in', partitions: 4 });
      const first = collector();
      memberships.push(await engine.join('g', ['in'], first));
      const before = [...first.leases];
      const second = collector();
      memberships.push(await engine.join('g', ['in'], second));
      const all = [...first.leases, ...second.leases].map(lease => lease.partition).toSorted((a, b) => a - b);
      expect(all).toEqual([0, 1, 2, 3]);
      expect(first.leases.length).toBe(2);
      const lost = before.find(lease => !first.leases.includes(lease)) as Lease;
      const owner = second.leases.find(lease => lease.partition === lost.partition) as Lease;
      expect(owner.epoch).toBeGreaterThan(lost.epoch);
      await expect(lost.commit({ next: 1n })).rejects.toMatchObject({ kind: 'conflict', code: 'FENCED' });
      await owner.commit({ next: 0n });
    });

    it('starts at the end when asked to and nothing was committed', async () => {
      const { engine, produce } = await start();
      await engine.ensureTopic({ name: 'in', partitions: 1 });
      await produce('in', 0, ['a', 'b'].map(record));
      const member = collector();
      memberships.push(await engine.join('g', ['in'], member, { start: 'latest' }));
      expect((member.leases[0] as Lease).start).toBe(2n);
    });

    it('finds every commit that was answered after a crash', async () => {
      const fixture = await start();
      await fixture.engine.ensureTopic({ name: 'in', partitions: 1 });
      await fixture.engine.ensureTopic({ name: 'out', partitions: 1 });
      const member = collector();
      await fixture.engine.join('g', ['in'], member);
      for (let i = 0; i < 10; i++) {
        await (member.leases[0] as Lease).commit({
          next: BigInt(i),
          state: `s${i}`,
          append: [append('out', 0, `o${i}`)],
        });
      }
      await fixture.crashAndRestart();
      const again = collector();
      memberships.push(await fixture.engine.join('g', ['in'], again));
      expect((again.leases[0] as Lease).position).toEqual({ next: 9n, state: 's9' });
      const reader = collector();
      memberships.push(await fixture.engine.join('reader', ['out'], reader));
      const values: string[] = [];
      for (let from = 0n; values.length < 10; ) {
        const chunk = await (reader.leases[0] as Lease).read(from, 1024 * 1024);
        values.push(...valuesOf(chunk.batches, from));
        from = chunk.next;
      }
      expect(values).toEqual(Array.from({ length: 10 }, (_, i) => `o${i}`));
    });

    it('recalls what the owners of a partition have committed to another topic, and nothing that was not', async () => {
      const { engine } = await start();
      await engine.ensureTopic({ name: 'in', partitions: 2 });
      await engine.ensureTopic({ name: 'kept', partitions: 2 });
      const first = collector();
      const membership = await engine.join('g', ['in'], first);
      const of = (all: Lease[], partition: number): Lease => all.find(one => one.partition === partition) as Lease;
      const recalled = async (lease: Lease): Promise<string[]> => valuesOf(await lease.recall('kept'));
      const lease = of(first.leases, 1);
      expect(await recalled(lease)).toEqual([]);
      await lease.commit({ next: 1n, append: [append('kept', 1, 'a', 'b')] });
      await of(first.leases, 0).commit({ next: 1n, append: [append('kept', 0, 'other')] });
      const half = lease.commit({ next: 2n, append: [append('kept', 1, 'half'), append('no-such-topic', 0, 'never')] });
      await expect(half).rejects.toMatchObject({ kind: 'invalid' });
      expect(await recalled(lease)).toEqual(['a', 'b']);
      // What was called behind the one that failed has heard of it.
      await new Promise(resolve => setTimeout(resolve, 5));
      await lease.commit({ next: 2n, append: [append('kept', 1, 'c')] });
      expect(await recalled(lease)).toEqual(['a', 'b', 'c']);
      await membership.leave();
      const next = collector();
      memberships.push(await engine.join('g', ['in'], next));
      expect(await recalled(of(next.leases, 1))).toEqual(['a', 'b', 'c']);
      expect(await recalled(of(next.leases, 0))).toEqual(['other']);
      await expect(of(next.leases, 0).recall('no-such-topic')).rejects.toMatchObject({ kind: 'invalid' });
    });

    it('leaves no output of a commit that was refused half way', async () => {
      const { engine } = await start();
      await engine.ensureTopic({ name: 'in', partitions: 1 });
      await engine.ensureTopic({ name: 'out', partitions: 1 });
      const member = collector();
      memberships.push(await engine.join('g', ['in'], member));
      const commit = (member.leases[0] as Lease).commit({
        next: 1n,
        append: [append('out', 0, 'half'), append('no-such-topic', 0, 'never')],
      });
      await expect(commit).rejects.toMatchObject({ kind: 'invalid' });
      const reader = collector();
      memberships.push(await engine.join('reader', ['out'], reader));
      const first = await Promise.race([
        (reader.leases[0] as Lease).read(0n, 1024).then(chunk => valuesOf(chunk.batches)),
        new Promise<string[]>(resolve => setTimeout(() => resolve([]), 200)),
      ]);
      expect(first).toEqual([]);
    });
  });
}
