/**
 * Deploys and rollbacks while 50,000 records a second go through the step: each takes effect between two commits of each
 * partition. Nothing is left out, doubled or out of order, and every output was made by the module that its commit
 * names. 10 changes here; `npm run soak -- deploy` makes 100.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { lineageOf } from '../../core/engine/lineage.ts';
import { readBatchHeader } from '../../core/log/batch.ts';
import { compileModule } from '../../sdk/assemblyscript/compile.ts';
import { Millstream } from '../servers/millstream.ts';
import { eventually, sleep } from '../servers/process.ts';
import { Wire } from '../servers/wire.ts';
import { decodeBatches, decodeRecords, encodeBatch } from '../servers/wire-batch.ts';
import { countOr, report } from './settings.ts';

const PARTITIONS = 4;
const RATE = 50_000;
const BATCH = 250;
const DIGITS = 12;
const PIPELINE = 'name = "live"\n[source]\ntopic = "in"\n[[step]]\nname = "stamp"\nmodule = "stamp"\n';
const GUEST = (letter: string): string => `import { Output, Record } from 'millstream/assembly';
export function transform(r: Record, out: Output): void {
  r.setHeader('by', '${letter}');
  out.emit(r);
}`;

/** Two guests, each of which says in a header which one it is. */
async function guests(): Promise<Record<'a' | 'b', Uint8Array>> {
  const folder = mkdtempSync(join(tmpdir(), 'millstream-guest-'));
  const build = async (letter: string): Promise<Uint8Array> => {
    mkdirSync(join(folder, 'assembly'), { recursive: true });
    writeFileSync(join(folder, 'assembly/index.ts'), GUEST(letter));
    return compileModule(folder);
  };
  const made = { a: await build('a'), b: await build('b') };
  rmSync(folder, { recursive: true });
  return made;
}

/** The same guest with other bytes: a custom section at its end. */
const versionOf = (guest: Uint8Array, n: number): Buffer =>
  Buffer.concat([guest, Uint8Array.from([0, 4, 1, 0x6e, n & 0xff, n >> 8])]);

/** So many records a second, by the clock, until it is told to stop; numbered in each partition. */
class Load {
  readonly sent = new Array<number>(PARTITIONS).fill(0);
  perSecond = 0;
  private readonly wire: Wire;
  private over = false;
  private readonly done: Promise<void>;

  constructor(wire: Wire) {
    this.wire = wire;
    this.done = this.run();
  }

  async stop(): Promise<void> {
    this.over = true;
    await this.done;
  }

  private async run(): Promise<void> {
    const began = performance.now();
    const acks: Promise<unknown>[] = [];
    for (let n = 0; !this.over; n++) {
      const wait = began + ((n * BATCH) / RATE) * 1000 - performance.now();
      if (wait > 1) await sleep(wait);
      const partition = n % PARTITIONS;
      const from = this.sent[partition] as number;
      const values = Array.from({ length: BATCH }, (_, i) => Buffer.from(`${partition} ${from + i}`));
      this.sent[partition] = from + BATCH;
      acks.push(this.wire.produce('in', partition, encodeBatch({ values })));
      // A server that falls behind slows the load down instead of being buried by it.
      if (acks.length > 100) await acks.shift();
    }
    await Promise.all(acks);
    const records = this.sent.reduce((sum, each) => sum + each, 0);
    this.perSecond = Math.round((records / (performance.now() - began)) * 1000);
  }
}

interface Read {
  values: string[];
  /** The letter in the records of each commit beside the digest that the commit names. */
  commits: { letters: Set<string>; digest: string }[];
}

/** A whole partition of the output: data, and behind the data of each commit its marker. */
async function readAll(wire: Wire, partition: number): Promise<Read> {
  const read: Read = { values: [], commits: [] };
  const end = await wire.endOffset('live.out', partition, 'committed');
  let letters = new Set<string>();
  for (let at = 0; at < end; ) {
    const batches = decodeBatches((await wire.fetch('live.out', partition, at, { maxBytes: 8_000_000 })).records);
    for (const batch of batches) {
      const [lineage] = lineageOf(batch.bytes, readBatchHeader(batch.bytes));
      if (lineage) {
        read.commits.push({ letters, digest: lineage.steps[0]?.sha256 ?? '' });
        letters = new Set();
        continue;
      }
      for (const { value, headers } of decodeRecords(batch)) {
        read.values.push(value.toString());
        letters.add(headers.get('by') ?? '');
      }
    }
    at = (batches.at(-1)?.lastOffset ?? end) + 1;
  }
  return read;
}

test('deploys and rollbacks lose, double and reorder nothing', { timeout: 1_200_000 }, async () => {
  const changes = countOr(10);
  const made = await guests();
  const server = await Millstream.prepare();
  const letterOf = new Map<string, string>();
  const known = (bytes: Uint8Array, letter: string): void =>
    void letterOf.set(createHash('sha256').update(bytes).digest('hex').slice(0, DIGITS), letter);
  const modules = `${server.httpUrl}/api/v1/wasm/modules`;
  let wire: Wire | null = null;
  try {
    mkdirSync(join(server.folder, 'modules/stamp'));
    writeFileSync(join(server.folder, 'modules/stamp/stamp.wasm'), made.a);
    writeFileSync(join(server.folder, 'modules/stamp/module.toml'), 'name = "stamp"\nversion = "0.1.0"\n');
    writeFileSync(join(server.folder, 'pipelines/live.toml'), PIPELINE);
    known(made.a, 'a');
    await server.restart();
    const client = await Wire.connect(server.bootstrap);
    wire = client;
    const isThere = async (): Promise<true | undefined> =>
      (await client.listOffset('live.out', PARTITIONS - 1, -1)).error === 0 || undefined;
    await eventually('the pipeline', isThere);
    const load = new Load(client);
    const took: number[] = [];
    for (let n = 1; n <= changes; n++) {
      await sleep(50);
      const began = performance.now();
      // The first has nothing to go back to.
      const isDeploy = n % 2 === 1 || n === 2;
      const letter = n % 4 < 2 ? 'b' : 'a';
      const bytes = versionOf(made[letter], n);
      if (isDeploy) known(bytes, letter);
      const answer = isDeploy
        ? await fetch(modules, {
            method: 'POST',
            headers: { 'x-module-name': 'stamp', 'content-type': 'application/octet-stream' },
            body: bytes,
          })
        : await fetch(`${modules}/stamp/rollback`, { method: 'POST' });
      expect([200, 201], await answer.text()).toContain(answer.status);
      took.push(performance.now() - began);
    }
    await load.stop();
    await eventually(
      'everything is through',
      async () => {
        const ends = await Promise.all(load.sent.map((_, p) => client.endOffset('live.out', p, 'committed')));
        // Markers take offsets too.
        if (ends.some((end, p) => end < (load.sent[p] ?? 0))) return undefined;
        const { pipelines } = (await (await fetch(`${server.httpUrl}/api/v1/pipelines`)).json()) as {
          pipelines: { lag: number }[];
        };
        return pipelines[0]?.lag === 0 || undefined;
      },
      120_000,
    );
    const digests = new Set<string>();
    for (const [partition, sent] of load.sent.entries()) {
      const { values, commits } = await readAll(client, partition);
      const wrong = values.findIndex((value, i) => value !== `${partition} ${i}`);
      expect(wrong < 0 ? 'all in order' : `"${values[wrong]}" at place ${wrong} of partition ${partition}`).toBe(
        'all in order',
      );
      expect(values.length).toBe(sent);
      for (const { letters, digest } of commits) {
        expect([digest, ...letters]).toEqual([digest, letterOf.get(digest)]);
        digests.add(digest);
      }
    }
    took.sort((a, b) => a - b);
    const ms = (share: number): number => Math.round(took[Math.floor((took.length - 1) * share)] ?? 0);
    const records = load.sent.reduce((sum, each) => sum + each, 0);
    const figures = { changes, records, perSecond: load.perSecond, versions: digests.size };
    report('deploy', { ...figures, deployMs: { p50: ms(0.5), max: ms(1) } });
    // Every version was at work, but for those that were gone again before a record came.
    expect(digests.size).toBeGreaterThan(letterOf.size * 0.8);
    if (changes >= 100) expect(load.perSecond).toBeGreaterThan(RATE * 0.95);
  } finally {
    wire?.close();
    await server.stop();
  }
});
