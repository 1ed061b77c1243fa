import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../core/base/clock.ts';
import { silentLogger } from '../../core/base/logger.ts';
import { Metrics } from '../../core/base/metrics.ts';
import { nodeDisk } from '../../core/base/node-disk.ts';
import { systemRandom } from '../../core/base/random.ts';
import { Broker } from '../../core/broker/broker.ts';
import { DEFAULT_BROKER_CONFIG } from '../../core/broker/config.ts';
import { EmbeddedEngine } from '../../core/engine/embedded.ts';
import type { LogStore } from '../../core/log/log.ts';
import { openLocalLogStore } from '../../core/log/local-log-store.ts';
import { sinkConnectors, sourceConnectors } from '../../connectors/index.ts';
import type { SinkConnector, SourceConnector } from '../../connectors/runtime/contract.ts';
import { startDeadLetterDrain } from '../../connectors/runtime/dead-letter-drain.ts';
import { type RunningSink, startSink } from '../../connectors/runtime/sink-runtime.ts';
import { type RunningSource, startSource } from '../../connectors/runtime/source-runtime.ts';
import { contextIn, temporaryDirectory, until } from './support.ts';

/** Source, sink and drain on the real broker and disk. */
describe('on the embedded engine', () => {
  let directory: string;
  let store: LogStore;
  let broker: Broker;
  let engine: EmbeddedEngine;
  const common = { clock: systemClock, random: systemRandom, logger: silentLogger };

  const open = async (): Promise<void> => {
    const parts = { ...common, disk: nodeDisk, metrics: new Metrics() };
    store = await openLocalLogStore({
      ...parts,
      directory: path.join(directory, 'log'),
      fsync: true,
      flushIntervalMs: 1000,
      cacheBytes: 4 * 1024 * 1024,
    });
    broker = await Broker.open({
      ...parts,
      nodeId: 1,
      store,
      directory: path.join(directory, 'meta'),
      config: DEFAULT_BROKER_CONFIG,
      advertised: () => ({ host: '127.0.0.1', port: 0 }),
    });
    engine = new EmbeddedEngine(broker, silentLogger);
    await engine.ensureTopic({ name: 'orders.in', partitions: 3 });
    await engine.ensureTopic({ name: 'orders.dead', partitions: 3 });
  };
  const close = async (): Promise<void> => {
    await engine.close();
    await broker.close();
    await store.close();
  };

  beforeEach(async () => {
    directory = temporaryDirectory();
    await open();
  });
  afterEach(async () => {
    await close();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const start = (): { source: RunningSource; sink: RunningSink; drain: RunningSink } => {
    const options = { ...common, engine, context: contextIn(directory), metrics: new Metrics() };
    const file = sinkConnectors().get('file') as SinkConnector;
    const from = sourceConnectors().get('file') as SourceConnector;
    const sink = startSink({
      ...options,
      plan: {
        pipeline: 'orders',
        name: 'lake',
        topic: 'orders.in',
        deadLetterTopic: 'orders.dead',
        accepts: ({ value }) => !String(Buffer.from(value ?? [])).includes('"skip"'),
        batch: { records: 500, bytes: 1e6, lingerMs: 10 },
        retry: { attempts: 3, fromMs: 10, toMs: 1000, onExhausted: 'wait' },
        onGap: 'stop',
      },
      connector: file,
      config: file.config.parse({ path: 'out/{topic}.ndjson', rotate: { bytes: '64KiB' } }),
    });
    const drain = startDeadLetterDrain({
      ...options,
      pipeline: 'orders',
      topic: 'orders.dead',
      connector: file,
      config: file.config.parse({ path: 'out/dead.ndjson' }),
      context: contextIn(directory, systemClock, nodeDisk, 'dead_letter'),
    });
    const source = startSource({
      ...options,
      plan: { pipeline: 'orders', topic: 'orders.in', deadLetterTopic: 'orders.dead' },
      connector: from,
      config: from.config.parse({ path: 'in.csv', key: 'id' }),
    });
    return { source, sink, drain };
  };
  const lines = (match: RegExp): string[] =>
    fs
      .readdirSync(path.join(directory, 'out'))
      .filter(name => match.test(name))
      .flatMap(name =>
        fs
          .readFileSync(path.join(directory, 'out', name), 'utf8')
          .split('\n')
          .slice(0, -1),
      );

  it('a CSV file flows into line files, its bad rows into dead letters, and a restart repeats nothing', async () => {
    const rows = Array.from({ length: 5000 }, (_, i) =>
      i % 1000 === 7 ? `${i},too,many` : `${i},${i % 5 === 0 ? 'skip' : 'keep'}`,
    );
    const file = path.join(directory, 'in.csv');
    fs.writeFileSync(file, `id,what\n${rows.slice(0, 3000).join('\n')}\n`);
    for (const [read, written, rejected] of [
      [3000, 2397, 3],
      [2000, 1598, 2],
    ] as const) {
      const { source, sink, drain } = start();
      await source.finished();
      expect(source.status().counts).toMatchObject({ read, rejected });
      await until(() => sink.status().counts.written === written && drain.status().counts.written === rejected);
      await until(() => sink.status().state === 'idle');
      await Promise.all([source.stop(), sink.stop(), drain.stop()]);
      if (read === 3000) fs.appendFileSync(file, `${rows.slice(3000).join('\n')}\n`);
      await close();
      await open();
    }
    const ids = lines(/^orders\.in/).map(line => Number((JSON.parse(line) as { id: string }).id));
    const expected = rows.flatMap((row, id) => (row.endsWith('keep') ? [id] : []));
    expect(ids.toSorted((a, b) => a - b)).toEqual(expected);
    expect(fs.readdirSync(path.join(directory, 'out')).length).toBeGreaterThan(2);
    const dead = lines(/^dead/).map(line => JSON.parse(line) as { code: string; value: string; source: object });
    expect(dead.map(({ code, value }) => `${code} ${value}`).toSorted()).toEqual(
      [7, 1007, 2007, 3007, 4007].map(id => `CSV_COLUMNS ${id},too,many`).toSorted(),
    );
    expect(dead[0]?.source).toMatchObject({ topic: 'orders.in', partition: 0, offset: 9 });
  });
});
