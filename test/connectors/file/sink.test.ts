import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NewRecord } from '../../../core/engine/records.ts';
import { fileSink } from '../../../connectors/file/sink.ts';
import type { RunningSink, SinkRunPlan } from '../../../connectors/runtime/sink-runtime.ts';
import { FaultyDisk, systemError } from '../faulty-disk.ts';
import { ManualClock, settle } from '../manual-clock.ts';
import { MemoryEngine } from '../memory-engine.ts';
import { record, runSink, temporaryDirectory, until } from '../support.ts';

describe('the file sink', () => {
  let directory: string;
  let engine: MemoryEngine;
  let disk: FaultyDisk;
  const running: RunningSink[] = [];

  beforeEach(async () => {
    directory = temporaryDirectory();
    engine = new MemoryEngine();
    disk = new FaultyDisk();
    await engine.ensureTopic({ name: 'orders.out', partitions: 2 });
  });
  afterEach(async () => {
    disk.before = () => {};
    for (const sink of running.splice(0)) await sink.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const at = (name: string): string => path.join(directory, name);
  const linesOf = (name: string): string[] => fs.readFileSync(at(name), 'utf8').split('\n').slice(0, -1);
  const start = (config: object, plan: Partial<SinkRunPlan> = {}, connector = fileSink()): RunningSink => {
    const sink = runSink({ engine, connector, config, directory, disk, plan });
    running.push(sink);
    return sink;
  };
  const produce = (partition: number, ...records: (string | null | NewRecord)[]): void =>
    engine.append(
      'orders.out',
      partition,
      records.map(one => (typeof one === 'string' || one === null ? record(one) : one)),
    );
  const written = (sink: RunningSink, count: number): Promise<void> =>
    until(() => sink.status().counts.written === count);
  const position = (partition: number) => engine.position('millstream.orders.lake', 'orders.out', partition)?.next;
  const linger = (lingerMs: number, records = 100): Partial<SinkRunPlan> => ({
    batch: { records, bytes: 1e6, lingerMs },
  });

  it('writes each value as a line and moves the position with it', async () => {
    produce(0, '{"n":1}', '{"n":2}');
    produce(1, '{"n":3}');
    const sink = start({ path: 'out/events.ndjson' });
    await written(sink, 3);
    await sink.stop();
    expect(linesOf('out/events.ndjson').toSorted()).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']);
    expect([position(0), position(1)]).toEqual([2n, 1n]);
    expect(sink.status()).toMatchObject({ state: 'stopped', reason: null });
  });

  it('goes on behind the committed position after a restart', async () => {
    produce(0, '1');
    const first = start({ path: 'events.ndjson' });
    await written(first, 1);
    await first.stop();
    produce(0, '2');
    await written(start({ path: 'events.ndjson' }), 1);
    expect(linesOf('events.ndjson')).toEqual(['1', '2']);
  });

  describe('the path', () => {
    it('is made of the timestamp in UTC, the topic and the partition', async () => {
      const day = Date.UTC(2026, 11, 31, 23, 59, 59, 999);
      produce(1, record('1', { timestamp: day }), record('2', { timestamp: day + 1 }), record('3', { timestamp: -1 }));
      await written(start({ path: '{topic}/p{partition}/{yyyy}/{MM}-{dd}T{HH}.ndjson' }), 3);
      expect(linesOf('orders.out/p1/2026/12-31T23.ndjson')).toEqual(['1']);
      expect(linesOf('orders.out/p1/2027/01-01T00.ndjson')).toEqual(['2']);
      expect(linesOf('orders.out/p1/1969/12-31T23.ndjson')).toEqual(['3']);
    });

    it('with an unknown placeholder is refused, naming those that exist', () => {
      const result = fileSink().config.safeParse({ path: '{year}.ndjson' });
      expect(result.error?.issues[0]?.message).toBe(
        '{year} is no placeholder; there are {yyyy} {MM} {dd} {HH} {topic} {partition}',
      );
    });

    it('makes a record whose timestamp is no date a dead letter', async () => {
      produce(0, record('1', { timestamp: 9e15 }));
      produce(0, '2');
      const sink = start({ path: '{yyyy}.ndjson' });
      await written(sink, 1);
      expect(sink.status().counts.rejected).toBe(1);
      expect(engine.records('orders.dead').length).toBe(1);
      expect(linesOf('2026.ndjson')).toEqual(['2']);
    });

    it('is written by one sink only', async () => {
      const connector = fileSink();
      produce(0, '1');
      const first = start({ path: 'a.ndjson' }, { name: 'one' }, connector);
      await written(first, 1);
      const second = start({ path: './a.ndjson' }, { name: 'two' }, connector);
      await until(() => second.status().state === 'stopped');
      expect(second.status().reason).toContain('is already written by the sink orders/one');
      await first.stop();
      await written(start({ path: 'a.ndjson' }, { name: 'three' }, connector), 1);
    });

    it('may lead to more files than are kept open', async () => {
      const hour = 3600e3;
      const records = Array.from({ length: 200 }, (_, i) => record(String(i), { timestamp: (i % 100) * hour }));
      for (const one of records) produce(0, one);
      await written(start({ path: '{MM}-{dd}T{HH}.ndjson' }, linger(1, 7)), 200);
      expect(fs.readdirSync(directory).length).toBe(100);
      expect(linesOf('01-01T00.ndjson')).toEqual(['0', '100']);
    });

    it('may lead to more files in one batch than a state has room for: the batch is split', async () => {
      const count = 400;
      for (let i = 0; i < count; i++) produce(0, record(String(i), { timestamp: i * 3600e3 }));
      const sink = start({ path: 'out/{yyyy}/{MM}-{dd}T{HH}.ndjson' }, linger(20, count));
      await written(sink, count);
      expect(sink.status().counts.rejected).toBe(0);
      const names = fs.readdirSync(at('out/1970')).toSorted();
      expect(names.map(name => linesOf(`out/1970/${name}`))).toEqual(
        Array.from({ length: count }, (_, i) => [String(i)]),
      );
      const positions = new Set(engine.commits.map(({ commit }) => commit.next));
      expect(positions.size).toBeGreaterThan(2);
      for (const { commit } of engine.commits) expect(commit.state?.length).toBeLessThanOrEqual(3000);
    });
  });

  it('announces a file by a commit of its own only when the last state does not tell of it', async () => {
    const nexts = (): bigint[] => engine.commits.splice(0).map(({ commit }) => commit.next);
    const day = 86_400_000;
    const sink = start({ path: '{dd}.ndjson' }, linger(1, 1));
    produce(0, record('1', { timestamp: 0 }));
    await written(sink, 1);
    expect(nexts()).toEqual([0n, 1n]);
    produce(0, record('2', { timestamp: 0 }));
    await written(sink, 2);
    expect(nexts()).toEqual([2n]);
    produce(0, record('3', { timestamp: day }));
    await written(sink, 3);
    expect(nexts()).toEqual([2n, 3n]);
    // Another partition, and another run, know what is committed.
    produce(1, record('4', { timestamp: 0 }));
    await written(sink, 4);
    expect(nexts()).toEqual([1n]);
    await sink.stop();
    produce(1, record('5', { timestamp: day }));
    await written(start({ path: '{dd}.ndjson' }, linger(1, 1)), 1);
    expect(nexts()).toEqual([2n]);
  });

  it('never mixes the lines of partitions that share a file, and keeps the order of each', async () => {
    const count = 600;
    for (let i = 0; i < count; i += 3) {
      for (const partition of [0, 1]) {
        const some = [i, i + 1, i + 2].map(n => `{"p":${partition},"n":${n},"x":"${'x'.repeat(n % 50)}"}`);
        produce(partition, ...some);
      }
    }
    await written(start({ path: 'all.ndjson' }, linger(0, 7)), 2 * count);
    const rows = linesOf('all.ndjson').map(line => JSON.parse(line) as { p: number; n: number });
    for (const partition of [0, 1]) {
      expect(rows.filter(({ p }) => p === partition).map(({ n }) => n)).toEqual(
        Array.from({ length: count }, (_, i) => i),
      );
    }
  });

  it.each([
    ['together', {}, [1n, 9n]],
    [
      'one by one where a small file is rotated between them',
      { rotate: { bytes: '1KiB' } },
      [1, 2, 3, 4, 5, 6, 7, 8, 9].map(BigInt),
    ],
  ])('writes batches that waited behind a write %s', async (_, config, nexts) => {
    const held = Promise.withResolvers<void>();
    disk.before = call => (call === 'datasync' ? held.promise : undefined);
    const values = Array.from({ length: 9 }, (_value, i) => String(i));
    produce(0, ...values);
    const sink = start({ path: 'a.ndjson', ...config }, linger(0, 1));
    await until(() => sink.status().counts.in === 9);
    held.resolve();
    await written(sink, 9);
    expect(linesOf('a.ndjson')).toEqual(values);
    expect(engine.commits.map(({ commit }) => commit.next).filter(next => next > 0n)).toEqual(nexts);
  });

  describe('the disk', () => {
    it('has synced a line before its position moves', async () => {
      let release = (): void => {};
      disk.before = call => (call === 'datasync' ? new Promise(resolve => (release = resolve)) : undefined);
      produce(0, '1');
      const sink = start({ path: 'a.ndjson' });
      await until(() => disk.calls.at(-1)?.startsWith('datasync') ?? false);
      await settle();
      expect(sink.status().counts.written).toBe(0);
      expect(position(0)).toBe(0n);
      release();
      await written(sink, 1);
    });

    it('has synced every new folder and the name of the file before the first line is acknowledged', async () => {
      produce(0, '1');
      await written(start({ path: 'a/b/c.ndjson' }), 1);
      const synced = disk.calls.filter(call => call.startsWith('syncDirectory')).map(call => call.split(' ')[1]);
      // The folder found there too: another sink may have made it just now. The file's own twice: first what a process
      // that was killed may have renamed there.
      expect(synced).toEqual([path.dirname(directory), directory, at('a'), at('a/b'), at('a/b')]);
    });

    it.each([
      ['ENOSPC', 'the disk is full'],
      ['EACCES', 'this process may not write there'],
      ['EIO', 'the file cannot be written'],
    ])('that fails with %s is waited for, and no line is lost or torn', async (code, reason) => {
      produce(0, '{"n":1}');
      const sink = start({ path: 'a.ndjson' });
      await written(sink, 1);
      let isBroken = true;
      disk.shortWrite = 3;
      disk.before = call => {
        if (isBroken && call !== 'writeSync') throw systemError(code);
      };
      produce(0, '{"n":2}', '{"n":3}');
      await until(() => sink.status().reason?.includes(reason) ?? false);
      expect(sink.status().state).toBe('degraded');
      expect(fs.readFileSync(at('a.ndjson'), 'utf8')).toContain('{"n":1}\n');
      isBroken = false;
      await written(sink, 3);
      expect(linesOf('a.ndjson')).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']);
    });

    it('that failed a sync is given the bytes anew, since it has forgotten them', async () => {
      let fails = 1;
      disk.before = call => {
        if (call === 'datasync' && fails-- > 0) throw systemError('EIO');
      };
      produce(0, '1');
      await written(start({ path: 'a.ndjson' }), 1);
      expect(disk.calls.map(call => call.split(' ')[0]).filter(call => call !== 'syncDirectory')).toEqual([
        'open',
        'writeSync',
        'datasync',
        'open',
        'truncate',
        'datasync',
        'open',
        'writeSync',
        'datasync',
      ]);
      expect(linesOf('a.ndjson')).toEqual(['1']);
    });
  });

  it.each([
    ['{"n":1}\n{"n":2', ['{"n":1}', '{"n":2', '3']],
    ['{"n":1', ['{"n":1', '3']],
    ['{"n":1}\n', ['{"n":1}', '3']],
    ['', ['3']],
  ])('keeps all of a file that it knows nothing of, and begins a line of its own', async (left, expected) => {
    fs.writeFileSync(at('a.ndjson'), left);
    produce(0, '3');
    await written(start({ path: 'a.ndjson' }), 1);
    expect(linesOf('a.ndjson')).toEqual(expected);
  });

  describe('rotation', () => {
    it('by size numbers the full files on from those that are there', async () => {
      fs.writeFileSync(at('a.000041.ndjson'), 'old\n');
      fs.writeFileSync(at('a.backup.ndjson'), 'other\n');
      for (let i = 0; i < 6; i++) produce(0, `"${i}"`);
      await written(start({ path: 'a.ndjson', rotate: { bytes: '8B' } }, linger(0, 1)), 6);
      expect(fs.readdirSync(directory).toSorted()).toEqual([
        'a.000041.ndjson',
        'a.000042.ndjson',
        'a.000043.ndjson',
        'a.backup.ndjson',
        'a.ndjson',
      ]);
      expect(['a.000042.ndjson', 'a.000043.ndjson', 'a.ndjson'].flatMap(linesOf)).toEqual(
        Array.from({ length: 6 }, (_, i) => `"${i}"`),
      );
    });

    it('by age happens without a further line', async () => {
      const clock = new ManualClock();
      const sink = runSink({
        engine,
        connector: fileSink(),
        config: { path: 'a.ndjson', rotate: { age: '1h' } },
        directory,
        clock,
      });
      produce(0, '1');
      await clock.advance(5);
      await written(sink, 1);
      await clock.advance(3600e3 - 1);
      expect(fs.readdirSync(directory)).toEqual(['a.ndjson']);
      await clock.advance(2);
      await until(() => fs.existsSync(at('a.000001.ndjson')));
      produce(0, '2');
      await clock.advance(5);
      await written(sink, 2);
      await sink.stop();
      expect(linesOf('a.000001.ndjson')).toEqual(['1']);
      expect(linesOf('a.ndjson')).toEqual(['2']);
    });

    it.each([0, 1])(
      'has its new name on disk before anything takes the old one, after %i failed tries',
      async tries => {
        let fails = tries;
        disk.before = call => {
          const wasRenamed = disk.calls.some(one => one.startsWith('rename'));
          if (call === 'syncDirectory' && wasRenamed && fails-- > 0) throw systemError('EIO');
        };
        for (let i = 0; i < 2; i++) produce(0, String(i));
        await written(start({ path: 'a.ndjson', rotate: { bytes: '2B' } }, linger(0, 1)), 2);
        const found = `syncDirectory ${path.dirname(directory)}`;
        const all = disk.calls.filter(call => call !== found);
        const after = all.slice(all.indexOf(`rename ${at('a.ndjson')}`) + 1);
        const sync = `syncDirectory ${directory}`;
        expect(after.slice(0, 3 + tries)).toEqual([
          ...Array.from({ length: tries + 1 }, () => sync),
          `open ${at('a.ndjson')}`,
          sync,
        ]);
      },
    );

    it('that fails is tried again and loses nothing', async () => {
      let fails = 2;
      disk.before = call => {
        if (call === 'rename' && fails-- > 0) throw systemError('EIO');
      };
      for (let i = 0; i < 3; i++) produce(0, String(i));
      await written(start({ path: 'a.ndjson', rotate: { bytes: '2B' } }, linger(0, 1)), 3);
      expect(['a.000001.ndjson', 'a.000002.ndjson', 'a.ndjson'].flatMap(linesOf)).toEqual(['0', '1', '2']);
    });
  });
});
