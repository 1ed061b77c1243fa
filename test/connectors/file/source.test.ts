import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../core/base/clock.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { seededRandom } from '../../../core/base/random.ts';
import { fromDeadRecord } from '../../../core/engine/dead-letter.ts';
import { fileSource } from '../../../connectors/file/source.ts';
import { type RunningSource, startSource } from '../../../connectors/runtime/source-runtime.ts';
import { MemoryEngine } from '../memory-engine.ts';
import { contextIn, temporaryDirectory, until } from '../support.ts';

describe('the file source', () => {
  let directory: string;
  let engine: MemoryEngine;

  beforeEach(async () => {
    directory = temporaryDirectory();
    engine = new MemoryEngine();
    await engine.ensureTopic({ name: 'orders.in', partitions: 1 });
  });
  afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

  const write = (name: string, text: string): void => fs.writeFileSync(path.join(directory, name), text);
  const valuesIn = (topic: string): string[] =>
    engine.records(topic).map(({ value }) => String(Buffer.from(value ?? [])));
  const run = (config: object): RunningSource => {
    const connector = fileSource();
    return startSource({
      engine,
      plan: { pipeline: 'orders', topic: 'orders.in', deadLetterTopic: 'orders.dead' },
      connector,
      config: connector.config.parse(config),
      context: contextIn(directory),
      metrics: new Metrics(),
      logger: silentLogger,
      clock: systemClock,
      random: seededRandom(7),
    });
  };

  it('reads every line of a finite file into its topic, then says that it is finished', async () => {
    write('in.ndjson', '{"id":1}\r\n\nnot json\n{"id":3}');
    const source = run({ path: 'in.ndjson' });
    await source.finished();
    expect(valuesIn('orders.in')).toEqual(['{"id":1}', 'not json', '{"id":3}']);
    expect(source.status()).toMatchObject({ state: 'finished', counts: { read: 3, rejected: 0 } });
    await source.stop();
  });

  it('resumes behind the last line after a restart', async () => {
    write('in.ndjson', '1\n2\n');
    const first = run({ path: 'in.ndjson', follow: true });
    await until(() => first.status().counts.read === 2);
    await first.stop();
    fs.appendFileSync(path.join(directory, 'in.ndjson'), '3\n');
    const second = run({ path: 'in.ndjson' });
    await second.finished();
    await second.stop();
    expect(valuesIn('orders.in')).toEqual(['1', '2', '3']);
    expect(engine.position('millstream.orders.source', 'orders.in', 0)?.next).toBe(3n);
  });

  it('makes a line that is too long a dead letter, and goes on behind it', async () => {
    write('in.ndjson', `1\n${'x'.repeat(700_000)}\n2\n`);
    const source = run({ path: 'in.ndjson', max_line_bytes: '1KiB' });
    await source.finished();
    await source.stop();
    expect(valuesIn('orders.in')).toEqual(['1', '2']);
    const [dead] = engine.records('orders.dead');
    expect(fromDeadRecord(dead ?? { headers: [] })).toMatchObject({
      code: 'LINE_TOO_LONG',
      stage: 'source',
      offset: 2,
    });
    expect(dead?.value?.length).toBe(65536);
  });
});
