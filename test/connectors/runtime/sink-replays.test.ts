import { describe, expect, it } from 'vitest';
import { type DeadLetter, toDeadRecord } from '../../../core/engine/dead-letter.ts';
import type { LogRecord } from '../../../core/engine/records.ts';
import { sinkReplayTopic, toReplayRecord } from '../../../core/engine/replay.ts';
import type { Row } from '../../../connectors/runtime/contract.ts';
import { record } from '../support.ts';
import { sinkBench } from './sink-bench.ts';

const TOPIC = sinkReplayTopic('orders', 'lake');
const LETTER: DeadLetter = {
  pipeline: 'orders',
  stage: 'sink',
  name: 'lake',
  topic: 'orders.out',
  topicId: '00000000000000000000000000000009',
  partition: 1,
  offset: 17,
  index: 0,
  sha256: null,
  code: 'OLD',
  reason: 'old',
  at: 5,
  replays: 0,
  input: null,
};
const SOURCE: LogRecord = {
  offset: 0,
  timestamp: 1234,
  key: Buffer.from('k'),
  value: Buffer.from('bad'),
  headers: [['h', Buffer.from([0, 255])]],
};

const utf8 = (bytes: Uint8Array | null): string => Buffer.from(bytes ?? []).toString();
const dead = (letter: Partial<DeadLetter> = {}, source = SOURCE): LogRecord => ({
  ...(toDeadRecord(source, { ...LETTER, ...letter }) as LogRecord),
  offset: 0,
});

describe('a sink with replays', () => {
  const bench = sinkBench();
  const replay = async (...letters: LogRecord[]): Promise<void> => {
    await bench.engine.ensureTopic({ name: TOPIC, partitions: 1 });
    await bench.engine.ensureTopic({ name: 'orders.dead', partitions: 2 });
    const again = letters.map((letter, i) => toReplayRecord(letter, 1, `0-${i}`, 999));
    bench.engine.append(TOPIC, 0, again);
  };

  it('is given the refused record as it was, without asking again whether it is accepted', async () => {
    const rows: Row[] = [];
    bench.connector.mood = batch => {
      rows.push(...batch.rows);
      return {};
    };
    await replay(dead());
    bench.start({ replayTopic: TOPIC, accepts: () => false });
    await bench.clock.advance(10);
    const [row] = rows;
    expect(row).toMatchObject({
      topic: TOPIC,
      partition: 0,
      origin: { topic: 'orders.out', partition: 1, offset: 17 },
    });
    const { key, value, headers, timestamp } = (row as Row).record;
    expect({ key: utf8(key), value: utf8(value), timestamp }).toEqual({ key: 'k', value: 'bad', timestamp: 1234 });
    expect(headers.map(([name, bytes]) => [name, [...(bytes ?? [])]])).toEqual([['h', [0, 255]]]);
    expect(bench.engine.position('millstream.orders.lake', TOPIC, 0)?.next).toBe(1n);
  });

  it('that refuses it again says so in a letter that still tells where it came from', async () => {
    bench.connector.mood = ({ rows }) => ({ rejected: rows.map((_, row) => ({ row, code: 'NEW', reason: 'new' })) });
    await replay(dead(), dead({ offset: 18, partition: 0 }));
    bench.start({ replayTopic: TOPIC });
    await bench.clock.advance(10);
    const now = bench.clock.now() - 5;
    expect(bench.deadLetters()).toEqual([
      {
        ...LETTER,
        offset: 18,
        partition: 0,
        code: 'NEW',
        reason: 'new',
        at: now,
        replays: 1,
        replayOf: '0-1',
        cut: false,
        inputTimestamp: null,
        value: 'bad',
      },
      {
        ...LETTER,
        code: 'NEW',
        reason: 'new',
        at: now,
        replays: 1,
        replayOf: '0-0',
        cut: false,
        inputTimestamp: null,
        value: 'bad',
      },
    ]);
    const [first, second] = bench.engine.records('orders.dead');
    expect([first?.partition, second?.partition]).toEqual([0, 1]);
    expect(second).toMatchObject({ timestamp: 1234 });
    expect(second?.headers[0]).toEqual(['h', new Uint8Array([0, 255])]);
  });

  it('is given what the refusing step was given, and keeps the source record in the next letter', async () => {
    bench.connector.mood = ({ rows }) => ({ rejected: rows.map((_, row) => ({ row, code: 'NEW', reason: 'new' })) });
    // null key, "given", no headers
    const input = Buffer.from([1, 10, ...Buffer.from('given'), 0]);
    await replay(dead({ stage: 'step', name: 'scrub', sha256: 'aa', topic: 'orders', input, inputTimestamp: 77 }));
    bench.start({ replayTopic: TOPIC });
    await bench.clock.advance(10);
    expect(bench.connector.calls.map(({ values }) => values)).toEqual([['given']]);
    const [letter] = bench.deadLetters();
    expect(letter).toMatchObject({
      stage: 'sink',
      name: 'lake',
      sha256: null,
      topic: 'orders',
      offset: 17,
      value: 'bad',
    });
    expect([...(letter?.input ?? [])]).toEqual([...input]);
    expect(letter?.inputTimestamp).toBe(77);
  });

  it('takes a record that somebody put there by hand as it is', async () => {
    await bench.engine.ensureTopic({ name: TOPIC, partitions: 1 });
    bench.engine.append(TOPIC, 0, [record('by hand')]);
    bench.start({ replayTopic: TOPIC });
    await bench.clock.advance(10);
    expect(bench.connector.written).toEqual(['by hand']);
  });
});
