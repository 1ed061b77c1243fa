import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MillstreamError } from '../../../core/base/errors.ts';
import { sinkReplayTopic } from '../../../core/engine/replay.ts';
import { fileSink } from '../../../connectors/file/sink.ts';
import type { RunningSink } from '../../../connectors/runtime/sink-runtime.ts';
import { settle } from '../manual-clock.ts';
import { MemoryEngine } from '../memory-engine.ts';
import { record, runSink, temporaryDirectory, until } from '../support.ts';

const REPLAYS = sinkReplayTopic('orders', 'lake');

/** Replays are written into the same files, and their topic may be deleted with the positions on it. */
describe('the file sink with replays', () => {
  let directory: string;
  let engine: MemoryEngine;
  const running: RunningSink[] = [];

  beforeEach(async () => {
    directory = temporaryDirectory();
    engine = new MemoryEngine();
    await engine.ensureTopic({ name: 'orders.out', partitions: 2 });
    await engine.ensureTopic({ name: REPLAYS, partitions: 1 });
  });
  afterEach(async () => {
    for (const sink of running.splice(0)) await sink.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const start = (): RunningSink => {
    const config = { path: 'a.ndjson' };
    const sink = runSink({ engine, connector: fileSink(), config, directory, plan: { replayTopic: REPLAYS } });
    running.push(sink);
    return sink;
  };
  const produce = (topic: string, partition: number, value: string): void =>
    engine.append(topic, partition, [record(value)]);
  const written = (sink: RunningSink, count: number): Promise<void> =>
    until(() => sink.status().counts.written === count && sink.status().state === 'idle');
  const crash = async (): Promise<void> => {
    await settle();
    engine.crash();
    await settle();
    running.length = 0;
  };
  const lines = (): string[] => fs.readFileSync(path.join(directory, 'a.ndjson'), 'utf8').split('\n').slice(0, -1);

  it('keeps a replayed line when its topic is deleted before anything else is committed', async () => {
    const first = start();
    produce('orders.out', 0, '1');
    await written(first, 1);
    produce(REPLAYS, 0, '2');
    await written(first, 2);
    await crash();
    engine.deleteTopic(REPLAYS);
    const second = start();
    produce('orders.out', 1, '3');
    await written(second, 1);
    expect(lines()).toEqual(['1', '2', '3']);
  });

  it('keeps it also when only the next run could note that', async () => {
    const first = start();
    produce('orders.out', 0, '1');
    await written(first, 1);
    engine.beforeCommit = ({ topic }) => {
      if (topic !== REPLAYS) throw new MillstreamError('conflict', 'FENCED', 'it went to another member');
    };
    produce(REPLAYS, 0, '2');
    await written(first, 2);
    await crash();
    engine.beforeCommit = () => {};
    const commits = engine.commits.length;
    start();
    await until(() => engine.commits.length > commits);
    await crash();
    engine.deleteTopic(REPLAYS);
    const third = start();
    produce('orders.out', 1, '3');
    await written(third, 1);
    expect(lines()).toEqual(['1', '2', '3']);
  });

  it('notes before it writes on what the topic alone knows, where that was not possible before', async () => {
    const first = start();
    produce('orders.out', 0, '1');
    await written(first, 1);
    let refuses = true;
    engine.beforeCommit = ({ topic }) => {
      if (topic !== REPLAYS && refuses) throw new MillstreamError('unavailable', 'STORAGE', 'not now');
    };
    produce(REPLAYS, 0, '2');
    await until(() => first.status().counts.written === 2);
    produce('orders.out', 1, '3');
    await settle();
    expect(lines()).toEqual(['1', '2']);
    refuses = false;
    await written(first, 3);
    await crash();
    engine.deleteTopic(REPLAYS);
    const second = start();
    produce('orders.out', 0, '4');
    await written(second, 1);
    expect(lines()).toEqual(['1', '2', '3', '4']);
  });
});
