import { afterEach, beforeEach } from 'vitest';
import { type LogFields, type Logger, silentLogger } from '../../../core/base/logger.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { type DeadLetter, fromDeadRecord } from '../../../core/engine/dead-letter.ts';
import type { RunningSink, SinkRunPlan } from '../../../connectors/runtime/sink-runtime.ts';
import { HostileSink } from '../hostile-sink.ts';
import { ManualClock } from '../manual-clock.ts';
import { MemoryEngine } from '../memory-engine.ts';
import { record, runSink } from '../support.ts';

export const GROUP = 'millstream.orders.lake';

/** An engine with the topic orders.out, a clock that stands still and a hostile connector, fresh for each test. */
export class SinkBench {
  engine = new MemoryEngine();
  clock = new ManualClock();
  connector = new HostileSink();
  readonly running: RunningSink[] = [];
  /** What was logged as an error. */
  readonly errors: { message: string; fields: LogFields | undefined }[] = [];

  start(plan: Partial<SinkRunPlan> = {}, metrics = new Metrics()): RunningSink {
    const { engine, connector, clock } = this;
    const error: Logger['error'] = (message, fields) => this.errors.push({ message, fields });
    const logger: Logger = { ...silentLogger, error, with: () => logger };
    const sink = runSink({ engine, connector, config: {}, clock, plan, metrics, logger });
    this.running.push(sink);
    return sink;
  }

  produce(...values: string[]): void {
    this.engine.append(
      'orders.out',
      0,
      values.map(value => record(value)),
    );
  }

  position(partition = 0): bigint | undefined {
    return this.engine.position(GROUP, 'orders.out', partition)?.next;
  }

  deadLetters(): (Partial<DeadLetter> & { value: string })[] {
    const dead = this.engine.records('orders.dead');
    return dead.map(one => ({ ...fromDeadRecord(one), value: String(Buffer.from(one.value ?? [])) }));
  }
}

/** Call inside `describe`. */
export function sinkBench(): SinkBench {
  const bench = new SinkBench();
  beforeEach(async () => {
    bench.engine = new MemoryEngine();
    bench.clock = new ManualClock();
    bench.connector = new HostileSink();
    bench.errors.length = 0;
    await bench.engine.ensureTopic({ name: 'orders.out', partitions: 1 });
  });
  afterEach(async () => {
    for (const sink of bench.running.splice(0)) {
      const stopped = sink.stop();
      await bench.clock.advance(60_000);
      await stopped;
    }
  });
  return bench;
}
