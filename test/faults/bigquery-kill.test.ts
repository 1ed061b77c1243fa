/**
 * kill -9 of a whole Millstream: broker, a pipeline of a filter and a flat-map, and BigQuery sinks in all five ways of
 * writing; a subscriber of its own process lives through it all. What SQL finds is what the source topic comes to. The
 * kills aim at the sinks' requests (the fake BigQuery kills at that very one) or at any time. `npm run soak --
 * bigquery-pipeline` kills 60 times.
 */
import { expect, test } from 'vitest';
import { type Random, seededRandom } from '../../core/base/random.ts';
import { type BigQueryFake, start as startBigQuery } from '../servers/bigquery/start.ts';
import { Millstream } from '../servers/millstream.ts';
import { eventually, sleep } from '../servers/process.ts';
import { Subscriber } from '../servers/subscriber.ts';
import { Wire } from '../servers/wire.ts';
import { countOr, report, seedFor } from './settings.ts';
import { Allowed, positionsOf } from './subscriber/allowed.ts';
import {
  type Due,
  idOf,
  installPipeline,
  makeTopics,
  MAPPING,
  Orders,
  PARTITIONS,
  recordsOf,
} from './subscriber/orders.ts';
import {
  copiesIn,
  DATASET,
  deadTopicOf,
  endpointsOf,
  isExactlyOnce,
  judge,
  makeTable,
  PROJECT,
  subscriberToml,
  type Way,
  WAYS,
  writeMethodOf,
} from './subscriber/ways.ts';

const AIMS = ['before send', 'after apply before ack', 'during recovery', 'any'] as const;
type Aim = (typeof AIMS)[number];

/** The sinks' tables; the subscriber has `committed`. */
const tableOf = (way: Way): string => `sink_${way}`;

const sinkOf = (way: Way, fake: BigQueryFake): string => `
[sinks.${way}]
batch = { records = 10, linger = "20ms" }
retry = { from = "20ms", to = "500ms" }
[sinks.${way}.bigquery]
project = "${PROJECT}"
dataset = "${DATASET}"
table = "${tableOf(way)}"
endpoint = "${fake.restUrl}"
storage_endpoint = "${fake.grpcAddress}"
${writeMethodOf(way)}
${MAPPING.replaceAll('[schema', `[sinks.${way}.bigquery.schema`)}
`;

class Kills {
  readonly counts = Object.fromEntries(AIMS.map(aim => [aim, 0])) as Record<Aim, number>;
  /** Copies beyond one that ids may have, by sink. */
  readonly allowed: Partial<Record<Way, Allowed>> = {};
  private readonly server: Millstream;
  private readonly fake: BigQueryFake;
  private readonly random: Random;
  private armed: Aim | null = null;
  private appended = new Set<string>();
  private death = Promise.withResolvers<void>();
  /** As last heard of: what is committed is never below. */
  private readonly positions = new Map<Way, number[]>();

  constructor(server: Millstream, fake: BigQueryFake, random: Random) {
    this.server = server;
    this.fake = fake;
    this.random = random;
    for (const when of ['before', 'after'] as const) {
      fake.faults.add({
        times: Number.POSITIVE_INFINITY,
        when: call => call.table.includes('.sink_') && this.isHit(call.table, call.method, when),
        action: { kind: 'kill', when },
      });
    }
  }

  async round(aim: Aim, produce: () => Promise<void>): Promise<void> {
    this.appended = new Set();
    this.death = Promise.withResolvers();
    this.armed = aim;
    await this.server.restart();
    const timer = aim === 'any' ? sleep(this.random.float() * 1500).then(() => this.die()) : null;
    let isDead = false;
    for (let tries = 0; !isDead; tries++) {
      if (tries > 120) throw new Error(`it never came to "${aim}":\n${this.server.output.slice(-3000)}`);
      await produce();
      await this.hear().catch(() => {});
      isDead = await Promise.race([this.death.promise.then(() => true), sleep(500).then(() => false)]);
    }
    await timer;
    await this.server.kill9();
    await sleep(50);
    this.counts[aim]++;
    await this.allow();
  }

  private isHit(table: string, method: string, when: 'before' | 'after'): boolean {
    const isRows = method === 'AppendRows' || method === 'insertAll';
    const isRecovery = !isRows && !this.appended.has(table);
    if (isRows) this.appended.add(table);
    if (this.armed === null || this.random.float() > 0.2) return false;
    const point = isRecovery ? 'during recovery' : !isRows ? null : when === 'before' ? AIMS[0] : AIMS[1];
    return point === this.armed && this.die();
  }

  private die(): boolean {
    if (this.armed === null) return false;
    this.armed = null;
    process.kill(this.server.pid(), 'SIGKILL');
    this.death.resolve();
    return true;
  }

  private async hear(): Promise<void> {
    const wire = await Wire.connect(this.server.bootstrap);
    try {
      for (const way of WAYS.filter(each => !isExactlyOnce(each))) {
        this.positions.set(way, await positionsOf(wire, `millstream.orders.${way}`));
      }
    } finally {
      wire.close();
    }
  }

  private async allow(): Promise<void> {
    for (const way of WAYS.filter(each => !isExactlyOnce(each))) {
      const allowed = (this.allowed[way] ??= new Allowed(this.fake, tableOf(way)));
      await allowed.add(this.positions.get(way) ?? new Array<number>(PARTITIONS).fill(0));
    }
  }
}

test('rows outlive kill -9 of broker, pipeline and sinks', { timeout: 3_600_000 }, async () => {
  const rounds = countOr(8);
  const seed = seedFor('bigquery-pipeline');
  const random = seededRandom(seed);
  const fake = await startBigQuery({ project: PROJECT, datasets: [DATASET], insertIdMissRate: 0.5, seed });
  const server = await Millstream.prepare({ readyMs: 60_000 });
  const subscriber = await Subscriber.prepare(endpointsOf(fake), subscriberToml('committed', server.bootstrap));
  const orders = new Orders(server);
  try {
    for (const way of WAYS) await makeTable(fake.restUrl, tableOf(way));
    await makeTable(fake.restUrl, 'committed');
    await installPipeline(server, WAYS.map(way => sinkOf(way, fake)).join(''));
    await server.restart();
    await makeTopics(server, [deadTopicOf('committed')]);
    await subscriber.start();
    await server.kill9();
    const kills = new Kills(server, fake, random);
    for (let i = 0; i < rounds; i++) await kills.round(AIMS[i % AIMS.length] as Aim, () => orders.produce(20));

    await server.restart();
    const due = await orders.due();
    const wrong = (): Promise<string[]> => verdicts(server, fake, due, kills.allowed);
    await eventually('all rows', async () => (await wrong()).length === 0 || undefined, 300_000).catch(() => {});
    expect(await subscriber.end('SIGTERM')).toBe(0);
    expect(await server.terminate()).toBe(0);
    await server.restart();
    const found = await wrong();
    if (found.length > 0) throw new Error(`SEED=${seed} ${JSON.stringify(kills.counts)}\n${found.join('\n')}`);
    console.table(kills.counts);
    const twice = Object.fromEntries(
      await Promise.all(WAYS.map(async way => [way, judge(await copiesIn(fake, tableOf(way)), due.rows, ANY).twice])),
    ) as Record<string, number>;
    report('bigquery-pipeline', {
      seed,
      kills: kills.counts,
      twice,
      rows: due.rows.length,
      refused: due.refused.length,
    });
  } finally {
    orders.close();
    await subscriber.remove();
    await server.stop();
    await fake.close();
  }
});

const ANY = { get: () => Number.POSITIVE_INFINITY };

/** What is wrong, by table. */
async function verdicts(
  server: Millstream,
  fake: BigQueryFake,
  due: Due,
  allowed: Kills['allowed'],
): Promise<string[]> {
  const wrong: string[] = [];
  const say = (what: string, found: string | null): void => void (found !== null && wrong.push(`${what}: ${found}`));
  for (const way of WAYS) {
    say(tableOf(way), judge(await copiesIn(fake, tableOf(way)), due.rows, allowed[way]).wrong);
  }
  say('committed', judge(await copiesIn(fake, 'committed'), due.rows).wrong);
  // Each sink has its own dead letters in the pipeline's topic, each once.
  const letters = await recordsOf(server.bootstrap, 'orders.dead');
  const refused = due.refused.toSorted().join();
  for (const way of WAYS) {
    const own = letters.filter(({ headers }) => headers.get('millstream.dl.name') === way);
    if (own.map(idOf).toSorted().join() !== refused) say(`dead letters of ${way}`, `${own.length} or other ones`);
  }
  const outside = await recordsOf(server.bootstrap, deadTopicOf('committed'));
  if (outside.map(idOf).toSorted().join() !== refused) say('dead letters outside', `${outside.length} or other ones`);
  return wrong;
}
