/**
 * kill -9 while a pipeline whose step keeps state works: after every kill the server comes back without pipelines, and what lies
 * there must be exactly the fold of the committed inputs: outputs, dead letters, the changelog, nothing of anything behind the
 * position. 3 kills here; `npm run soak -- state-kill` runs 20.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { seededRandom } from '../../core/base/random.ts';
import { Millstream } from '../servers/millstream.ts';
import { eventually } from '../servers/process.ts';
import { Wire } from '../servers/wire.ts';
import type { Read } from '../simulation/checker/batches.ts';
import { Changelog, CommittedReader } from '../simulation/checker/changelog.ts';
import { KINDS } from '../simulation/checker/model.ts';
import { checkTally, type TallyCounts } from '../simulation/checker/tally.ts';
import { tallyModule } from '../simulation/tally/simulation.ts';
import { type Aim, KillPoints } from './points/kill-points.ts';
import { startRaw } from './producers/raw.ts';
import { countOr, report, seedFor } from './settings.ts';

const PARTITIONS = 2;
const AIMS: readonly Aim[] = ['commit', 'append', 'any'];

const PIPELINE = `
name = "tally"
[source]
topic = "in"
[[step]]
name = "tally"
module = "tally"
idle_after = "100ms"
[outputs]
default = "told"
suspect = "ended"
`;

/** As a producer of the simulation makes them: what becomes of a record stands in its value. */
const valueOf = (n: number): string => `${KINDS[n % KINDS.length]}-raw.${n}`;

/** A topic's partition, read on as readers of committed records do. */
class Partition {
  readonly name: string;
  readonly reader: CommittedReader;
  private readonly topic: string;
  private readonly partition: number;
  private readonly records: Read[] = [];

  constructor(topic: string, partition: number, reader = new CommittedReader()) {
    this.name = `${topic}-${partition}`;
    this.topic = topic;
    this.partition = partition;
    this.reader = reader;
  }

  async read(wire: Wire): Promise<void> {
    const end = await wire.endOffset(this.topic, this.partition, 'committed');
    while (this.reader.next < end) {
      const answer = await wire.fetch(this.topic, this.partition, this.reader.next, {
        maxBytes: 4_000_000,
        committed: true,
      });
      const abortedTransactions = answer.aborted.map(one => ({ ...one, producerId: Number(one.producerId) }));
      const found = this.reader.take({ records: answer.records, abortedTransactions });
      if (answer.error !== 0 || found === null)
        throw this.wrong(`gives error ${answer.error} or nothing below its end ${end}`);
      this.records.push(...found);
    }
  }

  committed = (): readonly Read[] => this.records;
  wrong = (what: string): Error => new Error(`${this.name} ${what}`);
}

async function check(wire: Wire, partition: number, partitions: Map<string, Partition>): Promise<TallyCounts> {
  const of = async (topic: string): Promise<Partition> => {
    const key = `${topic}-${partition}`;
    const found = partitions.get(key) ?? new Partition(topic, partition);
    partitions.set(key, found);
    await found.read(wire);
    return found;
  };
  const { offset } = await wire.fetchOffset('millstream.tally', 'in', partition);
  const newest = new Changelog();
  await new Partition('tally.state', partition, newest).read(wire);
  return checkTally({
    told: await of('told'),
    ended: await of('ended'),
    dead: await of('tally.dead'),
    inputs: await of('in'),
    position: offset,
    changelog: newest.values,
    partitions: PARTITIONS,
  });
}

test('state, outputs and position agree after kill -9', { timeout: 3_600_000 }, async () => {
  const rounds = countOr(3);
  const seed = seedFor('state-kill');
  const random = seededRandom(seed);
  const folder = mkdtempSync(join(tmpdir(), 'state-kill-'));
  const points = new KillPoints(folder);
  const config = { 'wal.segment_size_bytes': 256 * 1024, 'etl.batch_records': 50 };
  const server = await Millstream.start({ config, preload: points.preload, readyMs: 60_000 });
  const start = async (pipelines: boolean): Promise<void> => {
    writeFileSync(join(server.folder, 'millstream.toml'), `[etl]\nenabled = ${pipelines}\n`);
    points.reset();
    await server.restart();
  };
  try {
    mkdirSync(join(server.folder, 'modules/tally'));
    writeFileSync(join(server.folder, 'modules/tally/tally.wasm'), (await tallyModule()).bytes);
    writeFileSync(
      join(server.folder, 'modules/tally/module.toml'),
      'name = "tally"\nversion = "1.0.0"\nfile = "tally.wasm"\n',
    );
    writeFileSync(join(server.folder, 'pipelines/tally.toml'), PIPELINE);
    const wire = await Wire.connect(server.bootstrap);
    await wire.createTopic('in', PARTITIONS);
    wire.close();
    await server.terminate();
    await start(true);
    const producer = await startRaw(server.bootstrap, 'in', PARTITIONS, random, 0, valueOf);
    const partitions = new Map<string, Partition>();
    let done = 0;
    const sums = { inputs: 0, entries: 0, ended: 0, ticked: 0, late: 0 };
    for (let round = 1; round <= rounds; round++) {
      const reader = await Wire.connect(server.bootstrap);
      const before = done;
      await eventually(
        `round ${round}: the pipeline goes on`,
        async () => {
          const { offset } = await reader.fetchOffset('millstream.tally', 'in', 0);
          done = Math.max(done, offset);
          return offset > before || undefined;
        },
        60_000,
      );
      reader.close();
      await points.kill(
        server,
        AIMS[round % AIMS.length] ?? 'any',
        random.float() * (round % AIMS.length === 2 ? 400 : 2),
      );
      // Nobody moves now but the producer, above the positions.
      await start(false);
      const checker = await Wire.connect(server.bootstrap);
      for (const key of Object.keys(sums) as (keyof TallyCounts)[]) sums[key] = 0;
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const counts = await check(checker, partition, partitions);
        for (const key of Object.keys(sums) as (keyof TallyCounts)[]) sums[key] += counts[key];
      }
      checker.close();
      await server.terminate();
      await start(true);
    }
    await producer.finish();
    expect(producer.violation).toBeUndefined();
    expect(server.errors).toEqual([]);
    const table = points.table();
    console.table(table);
    report('state-kill', { seed, rounds, kills: table, ...sums });
    expect(sums.inputs).toBeGreaterThan(rounds * 20);
    expect(sums.ended).toBeGreaterThan(0);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
