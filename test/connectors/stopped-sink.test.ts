import fs from 'node:fs';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { silentLogger } from '../../core/base/logger.ts';
import { Metrics } from '../../core/base/metrics.ts';
import { nodeDisk } from '../../core/base/node-disk.ts';
import { seededRandom } from '../../core/base/random.ts';
import { Broker } from '../../core/broker/broker.ts';
import { DEFAULT_BROKER_CONFIG } from '../../core/broker/config.ts';
import { EmbeddedEngine } from '../../core/engine/embedded.ts';
import { encodeBatch } from '../../core/engine/records.ts';
import { openLocalLogStore } from '../../core/log/local-log-store.ts';
import { fileSink } from '../../connectors/file/sink.ts';
import { type RunningSink, startSink } from '../../connectors/runtime/sink-runtime.ts';
import { retentionFloor } from '../../server/retention-floor.ts';
import { ManualClock } from './manual-clock.ts';
import { contextIn, record, temporaryDirectory } from './support.ts';

const PARTITIONS = 2;
const INTERVALS = 12;
const BATCHES = 10;
const ROWS = 400;
const VALUE_BYTES = 1000;
/** The backlog is 12 x 2 x 10 x 400 x 1 KB = 96 MB. */
/** Rows in memory are bounded at 32 MiB; measured are about 120 MiB, with what is not swept yet. */
const MOST_GROWTH_BYTES = 160 * 2 ** 20;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const memory = (): number => {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};

it('a sink that is stopped for an hour loses nothing, doubles nothing and needs no more memory', async () => {
  const directory = temporaryDirectory();
  const clock = new ManualClock();
  const parts = { clock, random: seededRandom(3), logger: silentLogger, disk: nodeDisk, metrics: new Metrics() };
  const store = await openLocalLogStore({
    ...parts,
    directory: path.join(directory, 'log'),
    fsync: true,
    flushIntervalMs: 1000,
    cacheBytes: 4 * 2 ** 20,
  });
  const plan = {
    name: 'orders',
    sinks: [{ name: 'lake', topic: 'orders.out' }],
    deadLetter: null,
    deadLetterTopic: 'orders.dead',
  } as unknown as Parameters<typeof retentionFloor>[0][number];
  const broker: Broker = await Broker.open({
    ...parts,
    nodeId: 1,
    store,
    directory: path.join(directory, 'meta'),
    config: DEFAULT_BROKER_CONFIG,
    advertised: () => ({ host: '127.0.0.1', port: 0 }),
    retentionFloor: retentionFloor([plan], (...of) => broker.groups.offsets.durable(...of)),
  });
  const engine = new EmbeddedEngine(broker, silentLogger);
  // Everything is past its retention after a minute.
  const configs = { 'retention.ms': '60000', 'segment.bytes': String(2 ** 20) };
  await engine.ensureTopic({ name: 'orders.out', partitions: PARTITIONS, configs });

  const produced = Array.from({ length: PARTITIONS }, () => 0);
  const produce = (): void => {
    for (let partition = 0; partition < PARTITIONS; partition++) {
      for (let batch = 0; batch < BATCHES; batch++) {
        const rows = Array.from({ length: ROWS }, () => {
          const id = `${partition}-${(produced[partition] as number)++}`;
          return record(JSON.stringify({ id, x: 'x'.repeat(VALUE_BYTES) }), { timestamp: clock.now() });
        });
        broker.appendBatch('orders.out', partition, encodeBatch(rows));
      }
    }
  };
  const start = (): RunningSink =>
    startSink({
      ...parts,
      engine,
      plan: {
        pipeline: 'orders',
        name: 'lake',
        topic: 'orders.out',
        deadLetterTopic: null,
        accepts: () => true,
        batch: { records: 500, bytes: 4 * 2 ** 20, lingerMs: 10 },
        retry: { attempts: 3, fromMs: 10, toMs: 1000, onExhausted: 'wait' },
        onGap: 'stop',
      },
      connector: fileSink(),
      config: fileSink().config.parse({ path: 'out/all.ndjson', rotate: { bytes: '16MiB' } }),
      context: contextIn(directory, clock),
    });
  let highest = 0;
  const drained = async (sink: RunningSink, written: number): Promise<void> => {
    for (let turn = 0; sink.status().counts.written < written || sink.status().state !== 'idle'; turn++) {
      expect(sink.status().state).not.toBe('stalled');
      await clock.advance(10);
      await new Promise(resolve => setTimeout(resolve, 1));
      if (turn % 20 === 0) highest = Math.max(highest, memory());
    }
  };
  const stop = async (sink: RunningSink): Promise<void> => {
    const state = { isStopped: false };
    void sink.stop().then(() => (state.isStopped = true));
    while (!state.isStopped) await clock.advance(10);
  };

  const first = start();
  produce();
  await drained(first, PARTITIONS * BATCHES * ROWS);
  await stop(first);

  const before = memory();
  highest = before;
  for (let interval = 0; interval < INTERVALS; interval++) {
    produce();
    await clock.advance(5 * 60_000);
    await broker.housekeeping.run();
    highest = Math.max(highest, memory());
  }
  const second = start();
  highest = before;
  await drained(second, INTERVALS * PARTITIONS * BATCHES * ROWS);
  expect(second.status().counts.written).toBe(INTERVALS * PARTITIONS * BATCHES * ROWS);
  console.log(`memory grew by ${Math.round((highest - before) / 2 ** 20)} MiB over a backlog of 96 MB`);
  expect(highest - before).toBeLessThan(MOST_GROWTH_BYTES);
  // Now that it is written, it goes.
  await broker.housekeeping.run();
  expect(broker.log('orders.out', 0)?.startOffset).toBeGreaterThan(BATCHES * ROWS);
  await stop(second);

  const next = Array.from({ length: PARTITIONS }, () => 0);
  const out = path.join(directory, 'out');
  for (const name of fs
    .readdirSync(out)
    .toSorted((a, b) => (a === 'all.ndjson' ? 1 : b === 'all.ndjson' ? -1 : a < b ? -1 : 1))) {
    for (const [, partition, n] of fs.readFileSync(path.join(out, name), 'utf8').matchAll(/^\{"id":"(\d)-(\d+)"/gm)) {
      expect(Number(n)).toBe(next[Number(partition)]);
      next[Number(partition)] = Number(n) + 1;
    }
  }
  expect(next).toEqual(produced);
  await engine.close();
  await broker.close();
  await store.close();
  fs.rmSync(directory, { recursive: true, force: true });
}, 240_000);
