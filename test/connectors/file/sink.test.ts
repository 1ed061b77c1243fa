import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileSink } from '../../../connectors/file/sink.ts';
import { MemoryEngine } from '../memory-engine.ts';
import { record, runSink, temporaryDirectory, until } from '../support.ts';

describe('the file sink', () => {
  let directory: string;
  let engine: MemoryEngine;

  beforeEach(async () => {
    directory = temporaryDirectory();
    engine = new MemoryEngine();
    await engine.ensureTopic({ name: 'orders.out', partitions: 2 });
  });
  afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

  const linesOf = (name: string): string[] =>
    fs.readFileSync(path.join(directory, name), 'utf8').split('\n').slice(0, -1);

  it('writes each value as a line and moves the position with it', async () => {
    engine.append(
      'orders.out',
      0,
      ['{"n":1}', '{"n":2}'].map(value => record(value)),
    );
    engine.append('orders.out', 1, [record('{"n":3}')]);
    const sink = runSink({ engine, connector: fileSink(), config: { path: 'out/events.ndjson' }, directory });
    await until(() => sink.status().counts.written === 3);
    await sink.stop();
    expect(linesOf('out/events.ndjson').toSorted()).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']);
    expect(engine.position('millstream.orders.lake', 'orders.out', 0)?.next).toBe(2n);
    expect(engine.position('millstream.orders.lake', 'orders.out', 1)?.next).toBe(1n);
    expect(sink.status()).toMatchObject({ state: 'stopped', reason: null });
  });

  it('goes on behind the committed position after a restart', async () => {
    engine.append('orders.out', 0, [record('1')]);
    const first = runSink({ engine, connector: fileSink(), config: { path: 'events.ndjson' }, directory });
    await until(() => first.status().counts.written === 1);
    await first.stop();
    engine.append('orders.out', 0, [record('2')]);
    const second = runSink({ engine, connector: fileSink(), config: { path: 'events.ndjson' }, directory });
    await until(() => second.status().counts.written === 1);
    await second.stop();
    expect(linesOf('events.ndjson')).toEqual(['1', '2']);
  });
});
