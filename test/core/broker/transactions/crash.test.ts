import { expect, test } from 'vitest';
import { type Random, seededRandom } from '../../../../core/base/random.ts';
import { verifyData } from '../../../../core/broker/verify-data.ts';
import { FaultDisk } from '../../log/fault-disk.ts';
import { ManualClock } from '../../log/manual-clock.ts';
import { batchOf, TestBroker } from '../harness.ts';
import { readCommitted, TransactionalClient } from './client.ts';

/*
 * Transactional producers of both versions and owners in this process write to three partitions and commit positions,
 * while the power goes (a disk that forgets) or the process dies at any point. Each transaction writes its number to
 * some partitions and, most of them, to a position. Whatever is cut when: a transaction is in all of its partitions and
 * in the position, or in none; what was answered as committed or read as committed stays; an end that comes again after
 * the restart succeeds; nothing holds the last stable offset up once the producers are back.
 */
/** TRANSACTION_SEEDS=1000 for a long run. */
const SEEDS = Number(process.env['TRANSACTION_SEEDS'] ?? 10);
const LIVES = 6;
const PARTITIONS = 3;

type Outcome = 'committed' | 'aborted' | 'unknown';

interface Written {
  n: number;
  partitions: number[];
  withPosition: boolean;
  /** What EndTxn was asked for; null when it was not. */
  asked: 'commit' | 'abort' | null;
  outcome: Outcome;
}

abstract class Actor {
  readonly name: string;
  readonly written: Written[] = [];
  protected readonly random: Random;

  constructor(name: string, random: Random) {
    this.name = name;
    this.random = random;
  }

  /** After a start: finds out what became of an end that was not answered, or begins anew. */
  abstract comeBack(broker: TestBroker): Promise<void>;
  abstract transact(broker: TestBroker, isOver: () => boolean): Promise<void>;

  protected next(): Written {
    const partitions = Array.from({ length: PARTITIONS }, (_, i) => i).filter(() => this.random.float() < 0.5);
    const some = partitions.length > 0 ? partitions : [0];
    const withPosition = this.random.float() < 0.7;
    const next: Written = { n: this.written.length, partitions: some, withPosition, asked: null, outcome: 'unknown' };
    this.written.push(next);
    return next;
  }

  valueOf({ n }: Written): string {
    return `${this.name}.${n}`;
  }
}

class WireActor extends Actor {
  private readonly version: 1 | 2;
  private client: TransactionalClient | null = null;
  /** Who asked for the end that was not answered, as long as nobody fenced it. */
  private ending: TransactionalClient | null = null;

  constructor(name: string, random: Random, version: 1 | 2) {
    super(name, random);
    this.version = version;
  }

  private get end(): { version: number } {
    return { version: this.version === 2 ? 5 : 3 };
  }

  async comeBack(broker: TestBroker): Promise<void> {
    this.client = new TransactionalClient(broker, this.name);
    const last = this.written.at(-1);
    if (last?.outcome === 'unknown' && last.asked !== 'commit') last.outcome = 'aborted';
    if (last && this.ending && this.random.float() < 0.6) {
      this.client.take(this.ending.producerId, this.ending.producerEpoch);
      expect(await this.client.end(last.asked === 'commit', this.end)).toBe(0);
      last.outcome = last.asked === 'commit' ? 'committed' : 'aborted';
    }
    this.ending = null;
    expect(await this.client.init()).toBe(0);
  }

  async transact(_: TestBroker, isOver: () => boolean): Promise<void> {
    const { client, version } = this;
    if (!client) throw new Error('not back yet');
    const mine = this.next();
    if (version === 1) expect(await client.add('out', ...mine.partitions)).toEqual(mine.partitions.map(() => 0));
    const sends = mine.partitions.map(async partition => {
      expect(await client.send('out', partition, [this.valueOf(mine)], { version: version === 2 ? 12 : 9 })).toBe(0);
    });
    if (mine.withPosition) {
      if (version === 1) expect(await client.addOffsets(this.name)).toBe(0);
      expect(await client.commitOffset(this.name, 'in', 0, mine.n, version === 2 ? 5 : 3)).toBe(0);
    }
    await Promise.all(sends);
    if (isOver()) return;
    const asked = this.random.float() < 0.7 ? 'commit' : 'abort';
    mine.asked = asked;
    // The identity that the request was made with is what a retry must have.
    this.ending = client.copy();
    const ending = client.copy();
    expect(await ending.end(asked === 'commit', this.end)).toBe(0);
    if (isOver()) return;
    this.ending = null;
    if (version === 2) client.take(ending.producerId, ending.producerEpoch);
    mine.outcome = asked === 'commit' ? 'committed' : 'aborted';
  }
}

class OwnerActor extends Actor {
  private owner: Awaited<ReturnType<TestBroker['broker']['ownTransactions']>> | null = null;

  async comeBack({ broker }: TestBroker): Promise<void> {
    this.owner = await broker.ownTransactions(`millstream.${this.name}`);
  }

  async transact(_: TestBroker, isOver: () => boolean): Promise<void> {
    const { owner, name } = this;
    const several = Array.from({ length: 1 + Math.floor(this.random.float() * 3) }, async () => {
      const mine = this.next();
      mine.asked = 'commit';
      await owner?.commit({
        appends: mine.partitions.map(partition => ({ topic: 'out', partition, batch: batchOf([this.valueOf(mine)]) })),
        ...(mine.withPosition
          ? { offsets: { group: name, positions: [{ topic: 'in', partition: 0, offset: mine.n, metadata: '' }] } }
          : {}),
      });
      if (!isOver()) mine.outcome = 'committed';
    });
    await Promise.all(several);
  }
}

async function run(seed: number): Promise<{ committed: number; unknown: number }> {
  const random = seededRandom(seed);
  let disk = new FaultDisk(random);
  const clock = new ManualClock();
  const config = { internalSegmentBytes: random.float() < 0.5 ? 3_000 : 1e6, segmentBytes: 4_000 };
  const actors: Actor[] = [
    new WireActor('one', random, 1),
    new WireActor('two', random, 2),
    new OwnerActor('own', random),
  ];
  const seen = new Map<number, string[]>();
  let broker: TestBroker;
  const state: { failure: unknown } = { failure: null };
  const start = async (): Promise<void> => {
    broker = await TestBroker.open({ directory: '/data', disk, clock, config });
    for (const name of ['out', 'in']) await broker.broker.topics.ensure({ name, partitions: PARTITIONS });
  };
  const look = async (): Promise<void> => {
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const { values } = await readCommitted(broker, 'out', partition, random.float() < 0.2 ? 400 : 100_000);
      const before = seen.get(partition) ?? [];
      // What was read as committed is still there, at the same place in the order.
      expect(values.slice(0, before.length)).toEqual(before);
      seen.set(partition, values);
    }
  };

  await start();
  for (let life = 0; life < LIVES; life++) {
    const now = { over: false };
    const isOver = (): boolean => now.over;
    const alive = (work: () => Promise<void>): void => {
      work().catch((error: unknown) => {
        if (!isOver()) state.failure ??= error;
      });
    };
    for (const actor of actors) {
      alive(async () => {
        await actor.comeBack(broker);
        while (!isOver()) await actor.transact(broker, isOver);
      });
    }
    alive(async () => {
      while (!isOver()) {
        for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve));
        await look();
      }
    });
    const turns = Math.floor(random.float() * 400);
    for (let turn = 0; turn < turns && state.failure === null; turn++)
      await new Promise(resolve => setImmediate(resolve));
    now.over = true;
    if (state.failure) throw state.failure;
    disk = random.float() < 0.7 ? disk.cut() : disk.kill();
    const { findings } = await verifyData({ disk, logDirectory: '/data/log', metaDirectory: '/data/meta' });
    // The positions here are numbers, of a topic that is empty.
    expect(findings.filter(({ severity, what }) => severity === 'problem' && !what.includes(' of in-'))).toEqual([]);
    await start();
    await look();
  }
  for (const actor of actors) await actor.comeBack(broker!);
  await look();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const { lastStableOffset, highWatermark } = await readCommitted(broker!, 'out', partition);
    expect(lastStableOffset).toBe(highWatermark);
  }
  for (const actor of actors) check(actor, seen, broker!);
  await broker!.close();
  const all = actors.flatMap(({ written }) => written);
  return {
    committed: all.filter(({ outcome }) => outcome === 'committed').length,
    unknown: all.filter(({ outcome }) => outcome === 'unknown').length,
  };
}

function check(actor: Actor, seen: ReadonlyMap<number, string[]>, { broker }: TestBroker): void {
  let position = -1;
  for (const mine of actor.written) {
    const value = actor.valueOf(mine);
    const there = mine.partitions.map(p => seen.get(p)?.filter(other => other === value).length ?? 0);
    const times = there[0] ?? 0;
    expect(there.every(count => count === times)).toBe(true);
    if (mine.outcome === 'committed') expect([value, times]).toEqual([value, 1]);
    else if (mine.outcome === 'aborted') expect([value, times]).toEqual([value, 0]);
    else expect(times).toBeLessThanOrEqual(1);
    if (times === 1 && mine.withPosition) position = mine.n;
  }
  expect(broker.committedOffset(actor.name, 'in', 0)?.offset ?? -1).toBe(position);
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const order = (seen.get(partition) ?? []).filter(value => value.startsWith(`${actor.name}.`));
    const numbers = order.map(value => Number(value.split('.')[1]));
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  }
}

for (let from = 0; from < SEEDS; from += 10) {
  test(`a transaction is whole or not there, whatever is cut when (seeds ${from} to ${from + 9})`, async () => {
    let committed = 0;
    let unknown = 0;
    for (let seed = from; seed < from + 10; seed++) {
      const counts = await run(seed).catch((error: unknown) => {
        throw new Error(`seed ${seed}`, { cause: error });
      });
      committed += counts.committed;
      unknown += counts.unknown;
    }
    expect(committed).toBeGreaterThan(50);
    expect(unknown).toBeGreaterThan(0);
  }, 180_000);
}
