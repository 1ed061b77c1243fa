import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../../core/base/clock.ts';
import { MillstreamError } from '../../../core/base/errors.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { partitionFor } from '../../../core/base/murmur2.ts';
import { seededRandom } from '../../../core/base/random.ts';
import { fromDeadRecord } from '../../../core/engine/dead-letter.ts';
import { fileSource } from '../../../connectors/file/source.ts';
import { type RunningSource, startSource } from '../../../connectors/runtime/source-runtime.ts';
import { ManualClock, settle } from '../manual-clock.ts';
import { MemoryEngine } from '../memory-engine.ts';
import { contextIn, temporaryDirectory, until } from '../support.ts';

describe('the file source', () => {
  let directory: string;
  let engine: MemoryEngine;
  const running: RunningSource[] = [];

  beforeEach(async () => {
    directory = temporaryDirectory();
    engine = new MemoryEngine();
    await engine.ensureTopic({ name: 'orders.in', partitions: 1 });
  });
  afterEach(async () => {
    for (const source of running.splice(0)) await source.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const at = (name: string): string => path.join(directory, name);
  const write = (name: string, text: string | Uint8Array): void => fs.writeFileSync(at(name), text);
  const valuesIn = (topic: string): string[] =>
    engine.records(topic).map(({ value }) => String(Buffer.from(value ?? [])));
  const deadLetters = () =>
    engine
      .records('orders.dead')
      .map(dead => ({ ...fromDeadRecord(dead), value: String(Buffer.from(dead.value ?? [])) }));
  const position = () => engine.position('millstream.orders.source', 'orders.in', 0);
  const run = (config: object, clock: Clock = systemClock): RunningSource => {
    const connector = fileSource();
    const source = startSource({
      engine,
      plan: { pipeline: 'orders', topic: 'orders.in', deadLetterTopic: 'orders.dead' },
      connector,
      config: connector.config.parse(config),
      context: contextIn(directory, clock),
      metrics: new Metrics(),
      logger: silentLogger,
      clock,
      random: seededRandom(7),
    });
    running.push(source);
    return source;
  };
  /** Runs a finite source to its end. */
  const read = async (config: object, clock?: Clock): Promise<RunningSource> => {
    const source = run(config, clock);
    await source.finished();
    return source;
  };

  it('reads every line of a finite file into its topic, then says that it is finished', async () => {
    write('in.ndjson', '{"id":1}\r\n\nnot json\n{"id":3}');
    const source = await read({ path: 'in.ndjson' });
    expect(valuesIn('orders.in')).toEqual(['{"id":1}', 'not json', '{"id":3}']);
    expect(source.status()).toMatchObject({ state: 'finished', reason: null, counts: { read: 3, rejected: 0 } });
    expect(position()?.next).toBe(3n);
  });

  it('is finished at once with an empty file', async () => {
    write('in.csv', '');
    await read({ path: 'in.csv' });
    expect(valuesIn('orders.in')).toEqual([]);
  });

  it('waits for a file that is not there yet', async () => {
    const clock = new ManualClock();
    const source = run({ path: 'in.ndjson' }, clock);
    await clock.advance(60_000);
    await until(() => source.status().state === 'degraded');
    expect(source.status().reason).toContain('FILE_NOT_READABLE');
    write('in.ndjson', '1\n');
    while (source.status().state !== 'finished') await clock.advance(5000);
    expect(valuesIn('orders.in')).toEqual(['1']);
  });

  it('leaves out the byte order mark', async () => {
    write('in.ndjson', '\ufeff{"id":1}\n');
    await read({ path: 'in.ndjson' });
    expect(valuesIn('orders.in')).toEqual(['{"id":1}']);
  });

  it('reads lines that lie across its blocks, byte for byte', async () => {
    const lines = Array.from({ length: 400 }, (_, i) => `{"i":${i},"x":"${'ä'.repeat((i * 37) % 3000)}"}`);
    write('in.ndjson', lines.join('\n'));
    await read({ path: 'in.ndjson' });
    expect(valuesIn('orders.in')).toEqual(lines);
  });

  it.each([
    ['inside the file', 65536, '2\n'],
    ['at its end', 65536, ''],
    ['of few bytes', 2000, '2\n'],
  ])('makes a line that is too long a dead letter, %s', async (_, length, rest) => {
    write('in.ndjson', `1\n${'x'.repeat(length + 700_000)}\n${rest}`);
    await read({ path: 'in.ndjson', max_line_bytes: '1KiB' });
    expect(valuesIn('orders.in')).toEqual(rest === '' ? ['1'] : ['1', '2']);
    expect(deadLetters()).toMatchObject([{ code: 'LINE_TOO_LONG', stage: 'source', name: 'source', offset: 2 }]);
    expect(deadLetters()[0]?.value.length).toBe(65536);
  });

  describe('keys and timestamps', () => {
    it('come from the fields that are named', async () => {
      write(
        'in.ndjson',
        [
          '{"a":{"id":"x"},"t":1777000000000}',
          '{"a":{"id":12345678901234567890},"t":"2026-05-01T10:00:00"}',
          '{"a":{"id":true},"t":"2026-05-01T10:00:00+02:00"}',
          '{"a":{"id":{"n":1}},"t":"2026-05-01"}',
          '{"a.id":"direct","t":"yesterday"}',
          '{"a":null}',
          'no json',
        ].join('\n'),
      );
      const clock = new ManualClock(1700000000000);
      const source = run({ path: 'in.ndjson', key: 'a.id', timestamp_field: 't' }, clock);
      await source.finished();
      expect(
        engine.records('orders.in').map(({ key, timestamp }) => [key && String(Buffer.from(key)), timestamp]),
      ).toEqual([
        ['x', 1777000000000],
        ['12345678901234567890', Date.UTC(2026, 4, 1, 10)],
        ['true', Date.UTC(2026, 4, 1, 8)],
        ['{"n":1}', Date.UTC(2026, 4, 1)],
        ['direct', 1700000000000],
        [null, 1700000000000],
        [null, 1700000000000],
      ]);
    });

    it("lead to the partition that Java's client would choose; without a key it goes round robin", async () => {
      engine = new MemoryEngine();
      await engine.ensureTopic({ name: 'orders.in', partitions: 3 });
      const ids = Array.from({ length: 60 }, (_, i) => `id-${i}`);
      write('in.ndjson', [...ids.map(id => `{"id":"${id}"}`), ...Array.from({ length: 6 }, () => '{}')].join('\n'));
      await read({ path: 'in.ndjson', key: 'id' });
      const found = engine.records('orders.in');
      for (const { key, partition } of found) if (key) expect(partition).toBe(partitionFor(key, 3));
      expect(found.filter(({ key }) => !key).map(({ partition }) => partition)).toEqual([0, 0, 1, 1, 2, 2]);
      expect(position()?.next).toBe(66n);
    });
  });

  describe('of CSV', () => {
    it('makes an object of each row, and dead letters of rows that do not fit', async () => {
      write('in.csv', '\ufeffOrder Id,Note\r\n1,"a, ""b""\nc"\r\n\r\n2\r\n3,x,y\r\n4,"q"r\r\n5,ok');
      const source = await read({ path: 'in.csv', snake_case: true, types: true, key: 'order_id' });
      expect(valuesIn('orders.in')).toEqual(['{"order_id":1,"note":"a, \\"b\\"\\nc"}', '{"order_id":5,"note":"ok"}']);
      expect(engine.records('orders.in').map(({ key }) => String(Buffer.from(key ?? [])))).toEqual(['1', '5']);
      expect(deadLetters()).toMatchObject([
        { code: 'CSV_COLUMNS', value: '2', offset: 5, reason: 'line 5: the row has 1 field, the header 2' },
        { code: 'CSV_COLUMNS', value: '3,x,y', offset: 6 },
        { code: 'CSV_QUOTES', value: '4,"q"r', offset: 7 },
      ]);
      expect(source.status().counts).toMatchObject({ read: 5, rejected: 3 });
    });

    it.each([['64KiB'], ['100B']])(
      'loses only the line with a quote that is never closed (at most %s a row)',
      async most => {
        const rest = Array.from({ length: 50 }, (_, i) => `${i},y`);
        write('in.csv', ['a,b', '"open,x', ...rest].join('\n'));
        await read({ path: 'in.csv', max_line_bytes: most });
        expect(valuesIn('orders.in')).toEqual(rest.map((_, i) => `{"a":"${i}","b":"y"}`));
        expect(deadLetters()).toMatchObject([{ code: 'CSV_QUOTES', value: '"open,x', offset: 2 }]);
      },
    );

    it('knows the columns after a restart in the middle', async () => {
      write('in.csv', 'a,b\n1,2\n');
      await (await read({ path: 'in.csv' })).stop();
      fs.appendFileSync(at('in.csv'), '3,4\n');
      await read({ path: 'in.csv' });
      expect(valuesIn('orders.in')).toEqual(['{"a":"1","b":"2"}', '{"a":"3","b":"4"}']);
    });

    it('by another name is read when the format says so', async () => {
      write('in.txt', 'a\n1\n');
      await read({ path: 'in.txt', format: 'csv' });
      expect(valuesIn('orders.in')).toEqual(['{"a":"1"}']);
    });

    it('says what is wrong with the header', async () => {
      write('in.csv', '"a\n1\n');
      const source = run({ path: 'in.csv' });
      await until(() => source.status().state === 'degraded');
      expect(source.status().reason).toContain('the header row');
    });
  });

  describe('that resumes', () => {
    it('goes on behind the last line', async () => {
      write('in.ndjson', '1\n2\n');
      await (await read({ path: 'in.ndjson' })).stop();
      fs.appendFileSync(at('in.ndjson'), '3\n');
      await read({ path: 'in.ndjson' });
      expect(valuesIn('orders.in')).toEqual(['1', '2', '3']);
      expect(position()?.next).toBe(3n);
    });

    it.each([
      ['other content', 'x\ny\nz\n'],
      ['fewer bytes', '1\n'],
    ])('begins anew when the file has %s', async (_, text) => {
      write('in.ndjson', '1\n2\n');
      await (await read({ path: 'in.ndjson' })).stop();
      write('in.ndjson', text);
      await read({ path: 'in.ndjson' });
      expect(valuesIn('orders.in')).toEqual(['1', '2', ...text.trim().split('\n')]);
    });

    it('neither loses nor repeats a line however often its commits fail', async () => {
      const lines = Array.from({ length: 5000 }, (_, i) => `{"i":${i}}`);
      write('in.ndjson', `${lines.join('\n')}\nlast`);
      const random = seededRandom(3);
      engine.beforeCommit = () => {
        if (random.float() < 0.5) throw new MillstreamError('unavailable', 'KAFKA_STORAGE_ERROR', 'the disk is full');
      };
      const clock = new ManualClock();
      const source = run({ path: 'in.ndjson' }, clock);
      while (source.status().state !== 'finished') await clock.advance(1000);
      expect(valuesIn('orders.in')).toEqual([...lines, 'last']);
    });

    it('leaves its work to the next owner when its lease is lost', async () => {
      write('in.ndjson', '1\n2\n');
      let isHeld = true;
      let release = (): void => {};
      engine.beforeCommit = () => (isHeld ? new Promise(resolve => (release = resolve)) : undefined);
      run({ path: 'in.ndjson' });
      await settle();
      engine.crash();
      isHeld = false;
      release();
      await read({ path: 'in.ndjson' });
      expect(valuesIn('orders.in')).toEqual(['1', '2']);
    });
  });

  it('fills a topic that takes small batches only', async () => {
    engine.mostBatchBytes = 5000;
    const lines = Array.from({ length: 500 }, (_, i) => `{"i":${i},"x":"${'x'.repeat(100)}"}`);
    write('in.ndjson', lines.join('\n'));
    await read({ path: 'in.ndjson' });
    expect(valuesIn('orders.in')).toEqual(lines);
  });

  describe('that follows', () => {
    it('reads whole lines as they come, and a new file in the place of the old', async () => {
      const clock = new ManualClock();
      write('in.ndjson', '1\n2');
      const source = run({ path: 'in.ndjson', follow: true }, clock);
      const have = async (...values: string[]): Promise<void> => {
        while (valuesIn('orders.in').length < values.length) await clock.advance(500);
        expect(valuesIn('orders.in')).toEqual(values);
      };
      await have('1');
      while (source.status().state !== 'idle') await clock.advance(500);
      fs.appendFileSync(at('in.ndjson'), '2\n3\n');
      await have('1', '22', '3');
      fs.renameSync(at('in.ndjson'), at('in.ndjson.1'));
      write('in.ndjson', 'new\n');
      await have('1', '22', '3', 'new');
    });
  });

  it('stops in the middle with everything committed that it has appended', async () => {
    write('in.ndjson', Array.from({ length: 20_000 }, (_, i) => i).join('\n'));
    const source = run({ path: 'in.ndjson' });
    await until(() => source.status().counts.read > 0);
    await source.stop();
    expect(source.status().state).toBe('stopped');
    expect(BigInt(valuesIn('orders.in').length)).toBe(position()?.next);
    await read({ path: 'in.ndjson' });
    expect(valuesIn('orders.in')).toEqual(Array.from({ length: 20_000 }, (_, i) => String(i)));
  });
});
