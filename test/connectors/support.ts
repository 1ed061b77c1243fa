import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Clock, systemClock } from '../../core/base/clock.ts';
import type { Disk } from '../../core/base/disk.ts';
import { type Logger, silentLogger } from '../../core/base/logger.ts';
import { Metrics } from '../../core/base/metrics.ts';
import { nodeDisk } from '../../core/base/node-disk.ts';
import { seededRandom } from '../../core/base/random.ts';
import type { NewRecord } from '../../core/engine/records.ts';
import type { ConnectorContext, SinkConnector } from '../../connectors/runtime/contract.ts';
import { type RunningSink, startSink, type SinkRunPlan } from '../../connectors/runtime/sink-runtime.ts';
import type { MemoryEngine } from './memory-engine.ts';

export const record = (value: string | null, more: Partial<NewRecord> = {}): NewRecord => ({
  timestamp: Date.UTC(2026, 4, 1, 12),
  key: null,
  value: value === null ? null : Buffer.from(value),
  ...more,
});

export function temporaryDirectory(): string {
  return fs.mkdtempSync(path.join(os.tmpdir(), 'millstream-connectors-'));
}

export function contextIn(
  baseDirectory: string,
  clock: Clock = systemClock,
  disk: Disk = nodeDisk,
  name = 'lake',
): ConnectorContext {
  return { pipeline: 'orders', name, baseDirectory, clock, random: seededRandom(7), disk };
}

export interface SinkSetup<Config> {
  engine: MemoryEngine;
  connector: SinkConnector<Config>;
  config: unknown;
  plan?: Partial<SinkRunPlan>;
  directory?: string;
  clock?: Clock;
  metrics?: Metrics;
  logger?: Logger;
  disk?: Disk;
}

/** The sink `lake` of the pipeline `orders` on the topic `orders.out`. */
export function runSink<Config>(setup: SinkSetup<Config>): RunningSink {
  const clock = setup.clock ?? systemClock;
  return startSink({
    engine: setup.engine,
    plan: {
      pipeline: 'orders',
      name: 'lake',
      topic: 'orders.out',
      deadLetterTopic: 'orders.dead',
      accepts: () => true,
      batch: { records: 100, bytes: 1024 * 1024, lingerMs: 5 },
      retry: { attempts: 3, fromMs: 1, toMs: 10, onExhausted: 'wait' },
      onGap: 'stop',
      ...setup.plan,
    },
    connector: setup.connector,
    config: setup.connector.config.parse(setup.config),
    context: contextIn(setup.directory ?? os.tmpdir(), clock, setup.disk, setup.plan?.name),
    metrics: setup.metrics ?? new Metrics(),
    logger: setup.logger ?? silentLogger,
    clock,
    random: seededRandom(7),
  });
}

/** Lets everything that is ready happen until the condition holds; the test's own time limit ends it otherwise. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 2));
}
