/**
 * One subscriber process that is killed (SIGKILL) again and again, each time at a point that was chosen before: the fake
 * BigQuery and the proxy before the broker see its requests, and kill it at this very request.
 */
import { ApiKey, decodeRequest } from '../../../core/protocol/api.ts';
import type { Random } from '../../../core/base/random.ts';
import type { BigQueryFake } from '../../servers/bigquery/start.ts';
import type { Verdict } from '../../servers/kafka-proxy.ts';
import { sleep } from '../../servers/process.ts';
import type { Subscriber } from '../../servers/subscriber.ts';
import type { Wire } from '../../servers/wire.ts';
import { Allowed, positionsOf } from './allowed.ts';
import type { Due } from './orders.ts';
import { copiesIn, DATASET, groupOf, isExactlyOnce, judge, PROJECT, type Sql, type Way } from './ways.ts';

export const POINTS = [
  'before send',
  'after apply before ack',
  'between append and commit',
  'after commit before its answer',
  'during recovery',
  'any time',
] as const;
export type Point = (typeof POINTS)[number];

/** What a commit with dead letters sends to the broker, in this order. */
const COMMITTING: ReadonlySet<number> = new Set([
  ApiKey.AddPartitionsToTxn,
  ApiKey.Produce,
  ApiKey.AddOffsetsToTxn,
  ApiKey.TxnOffsetCommit,
  ApiKey.EndTxn,
]);
/** What a member asks the broker before it has its partitions. */
const TAKING: ReadonlySet<number> = new Set([ApiKey.OffsetFetch, ApiKey.InitProducerId, ApiKey.OffsetCommit]);
const PATIENCE_MS = 90_000;

export interface VictimOptions {
  way: Way;
  process: Subscriber;
  bigquery: Sql;
  /** The fake that sees its requests; null: another BigQuery, and only the broker sees some. */
  fake: BigQueryFake | null;
  wire: Wire;
  random: Random;
  /** More rows come in. */
  produce: () => Promise<void>;
  /** The group hears that its member is dead, as it would by itself after the session timeout. */
  evict: (group: string) => Promise<void>;
}

export class Victim {
  readonly way: Way;
  readonly group: string;
  /** How often the process was killed at each point; `refused` instead of `after apply` when nothing was applied. */
  readonly kills: Record<Point | 'refused', number>;
  private readonly options: VictimOptions;
  private readonly groupBytes: Buffer;
  /** Copies that an id may have beyond one. */
  private readonly allowed: Allowed;
  private armed: Point | null = null;
  /** So many commits go through first, so that lives come from place to place. */
  private commitsLeft = 0;
  private isDead = true;
  private hasAppended = false;
  private diedAt: Point | null = null;
  /** First offset that is not committed, by partition. */
  private base: number[] = [];

  constructor(options: VictimOptions) {
    this.options = options;
    this.way = options.way;
    this.group = groupOf(options.way);
    this.groupBytes = Buffer.from(this.group);
    this.allowed = new Allowed(options.bigquery, this.way);
    this.kills = { ...(Object.fromEntries(POINTS.map(point => [point, 0])) as Record<Point, number>), refused: 0 };
    if (options.fake) this.watch(options.fake);
  }

  private watch({ faults }: BigQueryFake): void {
    const table = `${PROJECT}:${DATASET}.${this.way}`;
    const times = Number.POSITIVE_INFINITY;
    faults.add({ table, times, when: call => this.isHit(call.method), action: { kind: 'kill', when: 'before' } });
    faults.add({
      table,
      times,
      when: call => this.isHitAfter(call.method, 0.5),
      action: { kind: 'kill', when: 'after' },
    });
    faults.add({ table, times, when: call => this.isHitAfter(call.method, 1), action: { kind: 'drop-ack' } });
  }

  /** Starts the process and lets it die at the point, or at another one when it never comes there. */
  async live(point: Point): Promise<void> {
    const { process, produce, evict } = this.options;
    await this.begin(point);
    const death = process.ended();
    const timer = setTimeout(() => point === 'any time' && this.die(point), 500 + this.options.random.float() * 2500);
    const end = performance.now() + PATIENCE_MS;
    while ((await Promise.race([death, sleep(1000).then(() => 'alive')])) === 'alive') {
      if (performance.now() > end) {
        const health = JSON.stringify(await process.health().catch(String));
        throw new Error(`${this.way} never came to "${point}": ${health}\n${this.tail()}`);
      }
      await produce();
    }
    clearTimeout(timer);
    const how = await death;
    if (how !== 'SIGKILL' || this.diedAt === null)
      throw new Error(`${this.way} ended by itself (${how}):\n${this.tail()}`);
    await sleep(50);
    this.kills[this.wasRefused() ? 'refused' : this.diedAt]++;
    await this.allowed.add(await positionsOf(this.options.wire, this.group));
    await evict(this.group);
  }

  /** Lets it write all that is due and stop; gives what is wrong, null when nothing is. */
  async finish(due: Due, dead: () => Promise<string[]>): Promise<{ wrong: string | null; twice: number }> {
    const { process, bigquery } = this.options;
    await this.begin(null);
    // A slow machine is no failure, one that comes no further is.
    for (let [most, end] = [-1, 0]; ; ) {
      const [there, letters] = [(await copiesIn(bigquery, this.way)).size, (await dead()).length];
      if (there >= due.rows.length && letters >= due.refused.length) break;
      if (there + letters > most) [most, end] = [there + letters, performance.now() + PATIENCE_MS];
      if (performance.now() > end) break;
      await sleep(200);
    }
    const code = await process.end('SIGTERM');
    if (code !== 0) return { wrong: `it ended with ${code}:\n${this.tail()}`, twice: 0 };
    const judged = judge(
      await copiesIn(bigquery, this.way),
      due.rows,
      isExactlyOnce(this.way) ? undefined : this.allowed,
    );
    if (judged.wrong !== null) return { ...judged, wrong: `${judged.wrong}\n${this.tail()}` };
    const letters = await dead();
    if (letters.toSorted().join() === due.refused.toSorted().join()) return judged;
    return { ...judged, wrong: `${due.refused.length} were to be refused, there are ${letters.length} or other ones` };
  }

  /** Asked by the proxy for each request that goes to the broker. */
  judge(apiKey: number, frame: Buffer): Verdict {
    if (this.isDead || !frame.includes(this.groupBytes)) return 'pass';
    const moves = COMMITTING.has(apiKey) || this.moves(apiKey, frame);
    if (moves && !this.options.fake) this.hasAppended = true;
    if (!this.hasAppended) {
      if (this.armed !== 'during recovery' || !TAKING.has(apiKey) || !this.chance(0.3)) return 'pass';
      this.die('during recovery');
      return this.chance(0.5) ? 'cut' : 'mute';
    }
    // Nothing of its recovery was hit: another point, then.
    if (this.armed === 'during recovery') this.armed = this.options.fake ? 'before send' : 'between append and commit';
    if (!moves) return 'pass';
    const isWhole = apiKey === ApiKey.OffsetCommit || apiKey === ApiKey.EndTxn;
    if (this.commitsLeft > 0) {
      if (isWhole) this.commitsLeft--;
      return 'pass';
    }
    if (this.armed === 'between append and commit' && this.chance(0.3)) {
      this.die(this.armed);
      return 'cut';
    }
    if (this.armed === 'after commit before its answer' && isWhole && this.chance(0.3)) {
      this.die(this.armed);
      return 'mute';
    }
    return 'pass';
  }

  private async begin(point: Point | null): Promise<void> {
    this.base = await positionsOf(this.options.wire, this.group);
    this.armed = point;
    this.commitsLeft = point === 'during recovery' ? 0 : Math.floor(this.options.random.float() * 12);
    this.hasAppended = false;
    this.diedAt = null;
    this.isDead = false;
    if (point === null) return this.options.process.start();
    this.options.process.spawn();
    await this.options.produce();
  }

  /** Does the request commit a position behind what is committed? Others change the state alone. */
  private moves(apiKey: number, frame: Buffer): boolean {
    if (apiKey !== ApiKey.OffsetCommit) return false;
    const request = decodeRequest(frame);
    if (!request.supported || request.apiKey !== ApiKey.OffsetCommit) return false;
    let moves = false;
    for (const { partitionIndex, committedOffset } of request.body.topics.flatMap(topic => topic.partitions)) {
      moves ||= committedOffset > (this.base[partitionIndex] ?? 0);
      this.base[partitionIndex] = committedOffset;
    }
    return moves;
  }

  private isHit(method: string): boolean {
    if (this.isDead) return false;
    if (!isRows(method)) return this.isRecovery(method) && this.die('during recovery');
    this.hasAppended = true;
    if (this.commitsLeft > 0) return false;
    return this.armed === 'before send' && this.chance(0.3) && this.die(this.armed);
  }

  private isHitAfter(method: string, share: number): boolean {
    if (this.isDead) return false;
    if (!isRows(method)) return this.isRecovery(method) && this.chance(share) && this.die('during recovery');
    if (this.commitsLeft > 0) return false;
    return this.armed === 'after apply before ack' && this.chance(0.5 * share) && this.die(this.armed);
  }

  private isRecovery(method: string): boolean {
    return !this.hasAppended && this.armed === 'during recovery' && method !== 'datasets.get' && this.chance(0.4);
  }

  private die(point: Point): true {
    this.options.process.signal('SIGKILL');
    this.isDead = true;
    this.armed = null;
    this.diedAt = point;
    return true;
  }

  /** Was the request at which it died one that BigQuery refused? */
  private wasRefused(): boolean {
    if (this.diedAt !== 'after apply before ack') return false;
    const table = `${PROJECT}:${DATASET}.${this.way}`;
    const struck = this.options.fake?.journal.list().findLast(entry => entry.table === table && entry.fault);
    return struck?.applied !== true;
  }

  private chance(share: number): boolean {
    return this.options.random.float() < share;
  }

  private tail(): string {
    return this.options.process.output.slice(-3000);
  }
}

const isRows = (method: string): boolean => method === 'AppendRows' || method === 'insertAll';
