import path from 'node:path';
import { describe, it } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import type { Engine } from '../../../core/engine/engine.ts';
import { fileSink } from '../../../connectors/file/sink.ts';
import { type SinkFixture, type SinkScenario, sinkScenarios } from '../../../connectors/runtime/conformance.ts';
import type { SinkConnector } from '../../../connectors/runtime/contract.ts';
import { FaultDisk } from '../../core/log/fault-disk.ts';
import { memoryWorld } from '../conformance-world.ts';
import { contextIn, record } from '../support.ts';

/*
 * The conformance kit on a disk that forgets: a crash is a power cut, after which unsynced writes are there, gone or
 * torn, and the process begins anew with nothing but the disk and the committed positions.
 */

const BASE = '/data';

interface Config {
  path: string;
  rotate?: { bytes: string };
}

async function run(scenario: SinkScenario, config: Config, seed: number): Promise<void> {
  const world = memoryWorld(seed);
  const { produce } = world;
  let disk = new FaultDisk(seededRandom(seed));
  await disk.makeDirectory(BASE);
  await disk.syncDirectory('/');
  world.outlivesCrash = false;
  const { engine } = world;
  let life = livingOn(engine);
  Object.defineProperty(world, 'engine', { get: () => life.engine });
  world.crash = () => {
    life.end();
    life = livingOn(engine);
    engine.crash();
    disk = world.random.float() < 0.3 ? disk.kill() : disk.cut();
  };
  world.produce = (topic, partition, records) => {
    for (const one of records) produce(topic, partition, [one]);
  };
  const type = fileSink();
  const connector: SinkConnector = {
    ...type,
    // Each life has a connector of its own.
    open: (options, context) => fileSink().open(type.config.parse(options), { ...context, disk }),
    caps: options => type.caps(type.config.parse(options)),
  };
  const fixture: SinkFixture = {
    connector,
    config,
    context: contextIn(BASE, world.clock, disk),
    // A day for every five rows or so: files come and go, and each is written by several partitions.
    row: id =>
      record(JSON.stringify({ id }), { timestamp: Date.UTC(2026, 0, 1 + Math.floor(Number(id.split('-')[1]) / 5)) }),
    badRow: id => (config.path.includes('{yyyy}') ? record(JSON.stringify({ id }), { timestamp: 8.7e15 }) : null),
    contents: async () => {
      const ids: string[] = [];
      for (const name of (await disk.list(BASE)).toSorted(byAge)) {
        const file = await disk.open(path.join(BASE, name), 'read');
        const bytes = new Uint8Array(await file.size());
        await file.read(bytes, 0);
        const text = Buffer.from(bytes).toString();
        if (text !== '' && !text.endsWith('\n')) throw new Error(`${name} ends in a torn line`);
        ids.push(
          ...text
            .split('\n')
            .slice(0, -1)
            .map(line => (JSON.parse(line) as { id: string }).id),
        );
      }
      return ids;
    },
  };
  await scenario.run(fixture, world);
}

/** The engine as one process has it: once that is dead, it joins no group any more. */
function livingOn(engine: Engine): { engine: Engine; end: () => void } {
  let isDead = false;
  return {
    end: () => (isDead = true),
    engine: {
      ensureTopic: spec => engine.ensureTopic(spec),
      join: (...what) => (isDead ? new Promise(() => {}) : engine.join(...what)),
      close: () => engine.close(),
    },
  };
}

/** Rotated files come before the one that is written. */
function byAge(a: string, b: string): number {
  const key = (name: string): string => (/\.\d{6}\./.test(name) ? name : name.replace(/\.ndjson$/, '.999999.ndjson'));
  return key(a) < key(b) ? -1 : 1;
}

const CONFIGS: [what: string, config: Config][] = [
  ['into one file', { path: 'all-{yyyy}.ndjson' }],
  ['with rotation', { path: 'all-{yyyy}.ndjson', rotate: { bytes: '60B' } }],
  ['into a file a day', { path: '{yyyy}-{MM}-{dd}.ndjson' }],
  ['into a rotated file a day', { path: '{yyyy}-{MM}-{dd}.ndjson', rotate: { bytes: '30B' } }],
  ['into a file a partition', { path: 'p{partition}.ndjson' }],
];

describe.each(CONFIGS)('the file sink on a disk that forgets writes %s exactly once when', (_, config) => {
  it.each(sinkScenarios)('$name', scenario => run(scenario, config, 17));
});

describe('the file sink on a disk that forgets', () => {
  const seeds = Number(process.env['SOAK_COUNT'] ?? 3);
  const random = sinkScenarios.filter(({ name }) => name.startsWith('crashes at'));
  it.each(CONFIGS)(
    `writes %s exactly once through 40 power cuts, ${seeds} times`,
    async (_, config) => {
      for (let seed = 1; seed <= seeds; seed++) {
        for (const scenario of random) {
          await run(scenario, config, seed).catch((error: Error) => {
            throw new Error(`seed ${seed}, ${scenario.name}: ${error.message}`, { cause: error });
          });
        }
      }
    },
    600_000,
  );
});
