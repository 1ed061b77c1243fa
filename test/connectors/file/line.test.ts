import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toDeadRecord } from '../../../core/engine/dead-letter.ts';
import type { NewRecord } from '../../../core/engine/records.ts';
import { fileSink } from '../../../connectors/file/sink.ts';
import type { RunningSink } from '../../../connectors/runtime/sink-runtime.ts';
import { MemoryEngine } from '../memory-engine.ts';
import { record, runSink, temporaryDirectory, until } from '../support.ts';

describe('a line of the file sink', () => {
  let directory: string;
  let running: RunningSink | null = null;
  beforeEach(() => {
    directory = temporaryDirectory();
  });
  afterEach(async () => {
    await running?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const lines = async (config: object, ...records: (string | null | NewRecord)[]): Promise<string[]> => {
    const engine = new MemoryEngine();
    await engine.ensureTopic({ name: 'orders.out', partitions: 1 });
    const all = records.map(one => (typeof one === 'string' || one === null ? record(one) : one));
    engine.append('orders.out', 0, all);
    const sink = runSink({ engine, connector: fileSink(), config: { path: 'x.ndjson', ...config }, directory });
    running = sink;
    await until(() => sink.status().counts.written === records.length);
    return fs.readFileSync(path.join(directory, 'x.ndjson'), 'utf8').split('\n').slice(0, -1);
  };

  it('is the value when that is JSON, whatever its type', async () => {
    const values = ['{"a": 1}', '[1,2]', '"text"', '12345678901234567890.0', 'true', 'null', ' {"b":2} '];
    expect(await lines({}, ...values)).toEqual(values);
  });

  it('stays one line when the JSON is spread over several', async () => {
    expect(await lines({}, '{\r\n  "a": "x\\ny",\n  "b": 2\n}\n')).toEqual(['{    "a": "x\\ny",   "b": 2 }']);
  });

  it('carries anything else in base64', async () => {
    const values = ['plain text', '', null, record(null, { value: Uint8Array.of(0x22, 0xff, 0x22) })];
    expect(await lines({}, ...values)).toEqual([
      '{"value_base64":"cGxhaW4gdGV4dA=="}',
      '{"value_base64":""}',
      '{"value_base64":null}',
      '{"value_base64":"Iv8i"}',
    ]);
  });

  it('with the envelope tells all about the record', async () => {
    const headers = [
      ['trace', Buffer.from('ä"1')],
      ['empty', null],
      ['bin', Uint8Array.of(0xff)],
      ['trace', Buffer.from('2')],
    ] as const;
    const [first, second] = await lines(
      { envelope: true },
      record('{"n": 1.0}', { key: Buffer.from('k"1'), headers, timestamp: 1777000000000 }),
      record('text', { key: Uint8Array.of(0xff), timestamp: 1777000000001 }),
    );
    expect(first).toBe(
      '{"topic":"orders.out","partition":0,"offset":0,"timestamp":1777000000000,"key":"k\\"1",' +
        '"headers":[["trace","ä\\"1"],["empty",null],["bin",{"base64":"/w=="}],["trace","2"]],"value":{"n": 1.0}}',
    );
    expect(second).toBe(
      '{"topic":"orders.out","partition":0,"offset":1,"timestamp":1777000000001,"key_base64":"/w==",' +
        '"headers":[],"value_base64":"dGV4dA=="}',
    );
  });

  it('of a dead letter tells why it died, and keeps the exact bytes', async () => {
    const source = record('{"id":', { key: Uint8Array.of(1, 0xff), headers: [['h', Buffer.from('v')]] });
    const dead = toDeadRecord(
      { headers: [], ...source },
      {
        pipeline: 'orders',
        stage: 'step',
        name: 'scrub',
        topic: 'orders.in',
        topicId: 'ab'.repeat(16),
        partition: 3,
        offset: 42,
        index: 0,
        sha256: 'cd'.repeat(32),
        code: 'INVALID_JSON',
        reason: 'the text ends in the middle',
        at: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
        replays: 1,
        input: null,
      },
    );
    const [line] = await lines({}, { ...dead, timestamp: 1777000000000 });
    expect(JSON.parse(line ?? '')).toEqual({
      id: `orders/scrub/${'ab'.repeat(16)}-3-42`,
      at: '2026-01-02T03:04:05.006Z',
      pipeline: 'orders',
      stage: 'step',
      step: 'scrub',
      code: 'INVALID_JSON',
      reason: 'the text ends in the middle',
      sha256: 'cd'.repeat(32),
      source: { topic: 'orders.in', topic_id: 'ab'.repeat(16), partition: 3, offset: 42 },
      replays: 1,
      timestamp: 1777000000000,
      key: null,
      key_b64: 'Af8=',
      value: '{"id":',
      value_b64: Buffer.from('{"id":').toString('base64'),
      headers: [['h', 'v']],
      input_b64: null,
    });
  });
});
