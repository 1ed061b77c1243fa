/**
 * Two subscriber processes that share one topic and one table: one joins under load, one is killed, one stands still
 * until the other has its partitions and wakes as a zombie in the middle of what it was doing.
 */
import { ApiKey } from '../../../core/protocol/api.ts';
import type { GroupDescription } from '../../../core/client/group-admin.ts';
import type { BigQueryFake } from '../../servers/bigquery/start.ts';
import type { Verdict } from '../../servers/kafka-proxy.ts';
import { eventually, sleep } from '../../servers/process.ts';
import type { Subscriber } from '../../servers/subscriber.ts';
import type { Wire } from '../../servers/wire.ts';
import { Allowed, positionsOf } from './allowed.ts';
import type { Due } from './orders.ts';
import { copiesIn, DATASET, groupOf, isExactlyOnce, judge, PROJECT, type Way } from './ways.ts';

/** Above the session timeout that they are given, and what the other one needs to do the work. */
const PATIENCE_MS = 90_000;

/** Where a process stands still: BigQuery gets its rows, or the broker never gets its commit. */
type Stop = 'at rows' | 'at a commit';

export interface PairOptions {
  way: Way;
  /** Their settings are the same. */
  processes: readonly [Subscriber, Subscriber];
  fake: BigQueryFake;
  wire: Wire;
  describe: (group: string) => Promise<GroupDescription>;
  produce: (orders: number) => Promise<void>;
  due: () => Promise<Due>;
}

export class Pair {
  readonly way: Way;
  readonly counts = { rebalances: 0, kills: 0, 'at rows': 0, 'at a commit': 0, refusedZombieWrites: 0, twice: 0 };
  private readonly options: PairOptions;
  private readonly group: string;
  private readonly table: string;
  /** Copies beyond one that ids may have. */
  private readonly allowed: Allowed;
  /** The one that works alone at the beginning of a cycle. */
  private first: Subscriber;
  private second: Subscriber;
  private stopAt: Stop | null = null;
  private stopped = Promise.withResolvers<void>();

  constructor(options: PairOptions) {
    this.options = options;
    this.way = options.way;
    this.group = groupOf(options.way);
    this.table = `${PROJECT}:${DATASET}.${options.way}`;
    this.allowed = new Allowed(options.fake, options.way);
    [this.first, this.second] = options.processes;
    const when = (): boolean => {
      this.standIf('at rows');
      return false;
    };
    const { faults } = options.fake;
    faults.add({
      method: this.way === 'inserts' ? 'insertAll' : 'AppendRows',
      table: this.table,
      when,
      action: { kind: 'delay', ms: 0 },
    });
  }

  async begin(): Promise<void> {
    await this.first.start();
    await this.written();
  }

  async cycle(stop: Stop): Promise<void> {
    // A second one comes and takes its share under load.
    await this.options.produce(200);
    await this.second.start();
    await this.sharing();
    this.counts.rebalances++;
    // The first one dies.
    await this.options.produce(200);
    await this.first.end('SIGKILL');
    this.counts.kills++;
    const diedAt = await this.positions();
    // What it had sent may still be on its way into the table.
    await sleep(100);
    await this.allow(diedAt);
    await this.written();
    // The second one, alone, stands still in the middle of its work; the other one does all of it.
    await this.standStill(stop);
    const stoodAt = await this.positions();
    await sleep(100);
    await this.allow(stoodAt);
    const streams = new Set(this.rowRequests().map(({ stream }) => stream));
    await this.first.start();
    await this.written();
    // Whatever the zombie still does now must change nothing.
    const mark = this.rowRequests().at(-1)?.number ?? 0;
    // The zombie may write again what it had read, where nothing fences it.
    await this.allow(stoodAt);
    this.second.signal('SIGCONT');
    this.counts[stop]++;
    await this.sharing();
    await this.written();
    if (this.way === 'committed' || this.way === 'buffered') await this.judgeZombie(streams, mark);
    [this.first, this.second] = [this.second, this.first];
    await this.second.end('SIGTERM');
  }

  /** Gives what is wrong, null when nothing is. */
  async finish(dead: () => Promise<string[]>): Promise<string | null> {
    await this.second.start();
    await this.written();
    for (const process of [this.first, this.second]) {
      const code = await process.end('SIGTERM');
      if (code !== 0) return `it ended with ${code}:\n${process.output.slice(-3000)}`;
    }
    const due = await this.options.due();
    const { wrong, twice } = judge(await copiesIn(this.options.fake, this.way), due.rows, this.allowed);
    this.counts.twice = twice;
    if (wrong !== null) return wrong;
    const letters = await dead();
    if (letters.toSorted().join() === due.refused.toSorted().join()) return null;
    return `${due.refused.length} rows were to be refused, there are ${letters.length} or other ones`;
  }

  /** The zombie's streams are finalized: nothing that came behind `mark` was taken. */
  private async judgeZombie(streams: ReadonlySet<string | undefined>, mark: number): Promise<void> {
    const late = this.rowRequests().filter(({ number, stream }) => number > mark && streams.has(stream));
    const taken = late.find(({ applied }) => applied);
    if (taken) throw await this.failure(`the zombie could write: ${JSON.stringify(taken)}`);
    this.counts.refusedZombieWrites += late.length;
  }

  /** Asked by the proxy for each request that goes to the broker. */
  judge(apiKey: number, frame: Buffer): Verdict {
    const isCommit = apiKey === ApiKey.OffsetCommit || apiKey === ApiKey.TxnOffsetCommit;
    return isCommit && frame.includes(this.group) && this.standIf('at a commit') ? 'cut' : 'pass';
  }

  /** In the middle of more than it has under way at a time, so that the zombie has still something to write. */
  private async standStill(stop: Stop): Promise<void> {
    this.stopped = Promise.withResolvers();
    for (let isStopped = false; !isStopped; ) {
      await this.options.produce(500);
      this.stopAt = stop;
      isStopped = await Promise.race([this.stopped.promise.then(() => true), sleep(10_000).then(() => false)]);
    }
  }

  private positions(): Promise<number[]> {
    return positionsOf(this.options.wire, this.group);
  }

  private async allow(positions: readonly number[]): Promise<void> {
    if (!isExactlyOnce(this.way)) await this.allowed.add(positions);
  }

  private standIf(stop: Stop): boolean {
    if (this.stopAt !== stop) return false;
    this.stopAt = null;
    this.second.signal('SIGSTOP');
    this.stopped.resolve();
    return true;
  }

  private rowRequests(): { number: number; stream?: string; applied: boolean }[] {
    return this.options.fake.journal.list('AppendRows').filter(({ table }) => table === this.table);
  }

  /** Both have partitions. */
  private async sharing(): Promise<void> {
    await eventually(
      `${this.way}: both have a share`,
      async () => {
        const { state, members } = await this.options.describe(this.group);
        const isShared = members.length === 2 && members.every(({ partitions }) => partitions.length > 0);
        return (state === 'Stable' && isShared) || undefined;
      },
      PATIENCE_MS,
    ).catch(async error => Promise.reject(await this.failure(error)));
  }

  /** All rows that are due now are in the table, each once. */
  private async written(): Promise<void> {
    const due = await this.options.due();
    let [most, end] = [-1, 0];
    for (;;) {
      const copies = await copiesIn(this.options.fake, this.way);
      // A slow machine is no failure, one that comes no further is.
      if (copies.size > most) [most, end] = [copies.size, performance.now() + PATIENCE_MS];
      const twice = [...copies].find(([id, count]) => count > 1 + (this.allowed.get(id) ?? 0));
      if (twice) throw await this.failure(await this.tooOften(twice[0], twice[1]));
      // Each of them by name: the others' orders keep coming, and rows that are not due yet may be there before them.
      if (due.rows.every(id => copies.has(id))) return;
      if (performance.now() > end) throw await this.failure(judge(copies, due.rows).wrong);
      await sleep(300);
    }
  }

  private async tooOften(id: string, times: number): Promise<string> {
    const select = `SELECT DISTINCT log_partition, log_offset FROM ${DATASET}.${this.way} WHERE id = '${id}'`;
    const place = JSON.stringify(await this.options.fake.sql(select));
    const positions = (await this.positions()).join(' ');
    const may = `${this.allowed.get(id) ?? 0} more may be (${this.allowed.said.join('; ')})`;
    return `${id} is there ${times} times, ${may}; it is at ${place}, committed is up to ${positions}`;
  }

  private async failure(cause: unknown): Promise<Error> {
    const said: string[] = [];
    for (const process of this.options.processes) {
      const health = process.health().then(({ body }) => JSON.stringify(body), String);
      // One that stands still answers nobody.
      said.push(
        `--- ${await Promise.race([health, sleep(2000).then(() => 'no answer')])}\n${process.output.slice(-2500)}`,
      );
    }
    const what = cause instanceof Error ? cause.message : String(cause);
    return new Error(`${this.way}: ${what} ${JSON.stringify(this.counts)}\n${said.join('\n')}`, { cause });
  }
}
