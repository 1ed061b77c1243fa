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
/** Of five minutes each. */
const INTERVALS = 12;
const BATCHES = 8;
const ROWS = 400;
const PAD = 'x'.repeat(1000);
/** 79 MB. */
const BACKLOG = INTERVALS * PARTITIONS * BATCHES * ROWS;

/** Measured: nothing. */
const MOST_GROWTH_STOPPED = 2 * 2 ** 20;
/** The sink's 32 MiB of rows, and for each partition the batch that goes beyond its share and the one being written. */
const MOST_GROWTH_RUNNING = 32 * 2 ** 20 + PARTITIONS * 2 ** 22;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const lineOf = (partition: number, n: number): string => JSON.stringify({ id: `${partition}-${n}`, x: PAD });
const memory = (): number => {
  // The first only finds the buffers that nobody has any more; the second waits until they are gone.
  collect();
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
          const line = lineOf(partition, (produced[partition] as number)++);
          return record(line, { timestamp: clock.now() });
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
  expect(highest - before).toBeLessThan(MOST_GROWTH_STOPPED);
  expect(broker.log('orders.out', 0)?.startOffset).toBeLessThanOrEqual(BATCHES * ROWS);
  const second = start();
  highest = before;
  await drained(second, BACKLOG);
  expect(second.status().counts.written).toBe(BACKLOG);
  expect(highest - before).toBeLessThan(MOST_GROWTH_RUNNING);
  // Now that it is written, it goes.
  await broker.housekeeping.run();
  expect(broker.log('orders.out', 0)?.startOffset).toBeGreaterThan(BATCHES * ROWS);
  await stop(second);

  // Each partition's lines, each once and in order, over all files: the rotated ones first.
  const next = Array.from({ length: PARTITIONS }, () => 0);
  const out = path.join(directory, 'out');
  const names = fs.readdirSync(out).toSorted();
  for (const name of [...names.filter(one => one !== 'all.ndjson'), 'all.ndjson']) {
    const text = fs.readFileSync(path.join(out, name), 'utf8');
    expect(text.endsWith('\n')).toBe(true);
    for (const line of text.slice(0, -1).split('\n')) {
      const partition = Number(/^\{"id":"(\d)-/.exec(line)?.[1]);
      const n = next[partition] ?? 0;
      if (line !== lineOf(partition, n)) expect(line.slice(0, 100)).toBe(lineOf(partition, n).slice(0, 100));
      next[partition] = n + 1;
    }
  }
  expect(next).toEqual(produced);
  await engine.close();
  await broker.close();
  await store.close();
  fs.rmSync(directory, { recursive: true, force: true });
}, 240_000);
