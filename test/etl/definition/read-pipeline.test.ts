import { describe, expect, test } from 'vitest';
import type { PipelinePlan } from '../../../etl/definition/plan.ts';
import type { ReadOptions } from '../../../etl/definition/read-pipeline.ts';
import { lint, read } from './fixtures.ts';

function plan(text: string, more: Partial<ReadOptions> = {}): PipelinePlan {
  const result = read(text, more);
  expect(result.diagnostics.filter(each => each.severity === 'error')).toEqual([]);
  return result.plan as PipelinePlan;
}

const SMALLEST = 'name = "hello"\nsource = { topic = "hello" }\n[sinks.out.file]\npath = "hello.ndjson"\n';

test('the smallest file has a source topic and one sink that reads it, with all defaults', () => {
  const { sinks, ...rest } = plan(SMALLEST);
  expect(rest).toEqual({
    name: 'hello',
    file: 'orders.toml',
    source: { topic: 'hello', start: 'earliest', connector: null },
    steps: [],
    outputs: [
      {
        name: 'default',
        topic: 'hello',
        partitions: null,
        partitionBy: 'source',
        codec: 'none',
        retentionMs: null,
        maxBacklogBytes: 5 * 2 ** 30,
        onBacklog: 'pause',
      },
    ],
    deadLetterTopic: 'hello.dead',
    deadLetter: { type: 'file', config: { path: 'dead-letter/hello/{yyyy}-{MM}-{dd}.ndjson' } },
    tests: [],
  });
  expect(sinks).toEqual([
    {
      name: 'out',
      from: 'default',
      topic: 'hello',
      accepts: expect.any(Function),
      connector: { type: 'file', config: { path: 'hello.ndjson' } },
      batch: { records: 500, bytes: 4 * 2 ** 20, lingerMs: 1000 },
      retry: { attempts: 8, fromMs: 200, toMs: 30_000, onExhausted: 'wait' },
      onGap: 'stop',
    },
  ]);
});

const FULL = `
name = "orders"
description = "everything at once"

[source.file]
path = "in.ndjson"
follow = "\${FOLLOW}"

[[step]]
name = "scrub"
module = "pii_scrubber@1.2"
on_error = "drop"
limits = { memory = "16MiB", time = "250ms", fuel = 2_000_000 }
max_failures = { in_a_row = 10 }
config = { fields = ["customer.email"], rounds = "\${ROUNDS:-3}" }

[[step]]
name = "same"
module = "passthrough@sha256:cdcdcdcd"

[outputs]
suspect = { topic = "orders.bad", retention = "1d", compression = "zstd", max_backlog = "1GiB", on_backlog = "detach_sink", partition_by = "key", partitions = 12 }

[sinks.lake]
from = "suspect"
batch = { records = 50_000, linger = "5m" }
retry = { attempts = 3, to = "1m", on_exhausted = "stop" }
on_gap = "skip"
when = { header = "tier", equals = "gold" }
[sinks.lake.kafka]
brokers = ["\${BROKER}"]
topic = "out"
port = "\${PORT}"

[dead_letter.file]
path = "dead.ndjson"
rotate = { bytes = "64MiB" }
`;

test('a full file gives a full plan, with variables converted to the declared types', () => {
  const env = { FOLLOW: 'true', BROKER: 'b:9092', PORT: '9999' };
  const { source, steps, outputs, sinks, deadLetter } = plan(FULL, { env });
  expect(source).toEqual({
    topic: 'orders.in',
    start: 'earliest',
    connector: { type: 'file', config: { path: 'in.ndjson', follow: true } },
  });
  expect(steps).toEqual([
    {
      name: 'scrub',
      module: { name: 'pii_scrubber', version: '1.2', sha256: null },
      config: { fields: ['customer.email'], method: 'mask', rounds: 3 },
      secrets: [],
      onError: 'drop',
      memoryBytes: 16 * 2 ** 20,
      timeMs: 250,
      fuel: 2_000_000,
      maxFailuresInARow: 10,
      stateBytes: 64 * 2 ** 20,
      idleMs: 10_000,
    },
    {
      name: 'same',
      module: { name: 'passthrough', version: null, sha256: 'cdcdcdcd' },
      config: {},
      secrets: [],
      onError: 'dead_letter',
      memoryBytes: 64 * 2 ** 20,
      timeMs: 5000,
      maxFailuresInARow: null,
      stateBytes: 64 * 2 ** 20,
      idleMs: 10_000,
    },
  ]);
  expect(outputs.map(each => [each.name, each.topic])).toEqual([
    ['default', 'orders.out'],
    ['suspect', 'orders.bad'],
  ]);
  expect(outputs[1]).toMatchObject({
    partitions: 12,
    partitionBy: 'key',
    codec: 'zstd',
    retentionMs: 86_400_000,
    maxBacklogBytes: 2 ** 30,
    onBacklog: 'detach_sink',
  });
  expect(sinks[0]).toMatchObject({
    from: 'suspect',
    topic: 'orders.bad',
    connector: { type: 'kafka', config: { brokers: ['b:9092'], topic: 'out', port: 9999 } },
    batch: { records: 50_000, bytes: 4 * 2 ** 20, lingerMs: 300_000 },
    retry: { attempts: 3, fromMs: 200, toMs: 60_000, onExhausted: 'stop' },
    onGap: 'skip',
  });
  const record = { offset: 0, timestamp: 0, key: null, value: null };
  expect(sinks[0]?.accepts({ ...record, headers: [['tier', Buffer.from('gold')]] })).toBe(true);
  expect(sinks[0]?.accepts({ ...record, headers: [] })).toBe(false);
  expect(deadLetter).toEqual({ type: 'file', config: { path: 'dead.ndjson', rotate: { bytes: 64 * 2 ** 20 } } });
});

test('an empty dead_letter table keeps dead letters in their topic', () => {
  expect(plan(`${SMALLEST}[dead_letter]\n`).deadLetter).toBeNull();
});

describe('unset variables', () => {
  test('are errors in run', () => {
    expect(lint(FULL)).toEqual([
      '7:10 the environment variable `FOLLOW` is not set (set it, or give a default: `${FOLLOW:-...}`)',
      '31:12 the environment variable `BROKER` is not set (set it, or give a default: `${BROKER:-...}`)',
      '33:8 the environment variable `PORT` is not set (set it, or give a default: `${PORT:-...}`)',
    ]);
    expect(read(FULL).plan).toBeNull();
  });

  test('are warnings in lint, and the rest of the plan is there', () => {
    const { plan: linted, diagnostics, unresolved } = read(FULL, { mode: 'lint' });
    expect(diagnostics.map(each => each.severity)).toEqual(['warning', 'warning', 'warning']);
    expect(unresolved).toEqual(['source.file.follow', 'sinks.lake.kafka.brokers[0]', 'sinks.lake.kafka.port']);
    expect(linted?.steps[0]?.config).toEqual({ fields: ['customer.email'], method: 'mask', rounds: 3 });
    expect(linted?.sinks[0]?.connector.config).toEqual({ brokers: ['${BROKER}'], topic: 'out', port: '${PORT}' });
  });

  test('in settings with a default leave the default in lint', () => {
    const text = `${SMALLEST}[sinks.b]\nbatch = { records = "\${N}" }\n[sinks.b.file]\npath = "x"\n`;
    expect(read(text, { mode: 'lint' }).plan?.sinks[1]?.batch.records).toBe(500);
    expect(plan(text, { env: { N: '7' } }).sinks[1]?.batch.records).toBe(7);
  });

  test('elsewhere do not hide errors', () => {
    const text = `name = "x"\nsource = { topic = "x" }\n[sinks.a.file]\npath = "\${P}"\nrotate = { bytes = "much" }\n`;
    expect(lint(text, { mode: 'lint' })).toEqual([
      '4:8 warning: the environment variable `P` is not set (set it, or give a default: `${P:-...}`)',
      '5:20 `sinks.a.file.rotate.bytes`: expected a size such as "64MiB" or "500KB"',
    ]);
  });

  test('a pipeline from outside may use only the names that it is given', () => {
    expect(lint(FULL, { env: { FOLLOW: 'true', BROKER: 'b', PORT: '1' }, allowEnv: ['BROKER', 'PORT'] })).toEqual([
      '7:10 the variable `FOLLOW` is not allowed here (name it in `[etl] allow_env` of the server)',
      '15:50 the variable `ROUNDS` is not allowed here (name it in `[etl] allow_env` of the server)',
    ]);
  });
});

test('test cases are not interpolated, and their records come out byte for byte', () => {
  const { tests } = plan(`${SMALLEST}
[[test]]
name = "text"
env = { A = "1" }
input = { key = "k", text = "\${NOT} $$", headers = { "x.y" = "z" }, timestamp = "2026-11-21T10:00:00Z" }
expect = [{ sinks = ["out"], headers = { "x.y" = "z" }, count = 1 }]
[[test]]
name = "json as text"
input = { json = '{"a" : 1}' }
expect = [{ json = '{"a":1}', absent = ["b.c"], matches = { "a.b" = "^1$" } }, { dead_letter = { code = "X" } }]
[[test]]
name = "json as a table"
input = { json = { b = [1, { c = true }] } }
expect = [{ json = { b = [1] } }]
[[test]]
name = "bytes"
input = { base64 = "AAEC" }
expect = [{ outputs = ["default"] }]
[[test]]
name = "a tombstone"
input = { tombstone = true }
expect = [{ count = 1 }]
`);
  expect(tests[0]).toEqual({
    name: 'text',
    line: 6,
    env: { A: '1' },
    input: {
      key: Buffer.from('k'),
      value: Buffer.from('${NOT} $$'),
      headers: { 'x.y': 'z' },
      timestamp: Date.UTC(2026, 10, 21, 10),
    },
    expect: [{ sinks: ['out'], headers: { 'x.y': 'z' }, count: 1 }],
  });
  expect(tests.map(each => each.input.value?.toString() ?? null)).toEqual([
    '${NOT} $$',
    '{"a" : 1}',
    '{"b":[1,{"c":true}]}',
    '\u0000\u0001\u0002',
    null,
  ]);
  expect(tests[1]?.expect).toEqual([
    { json: { a: 1 }, absent: ['b.c'], matches: { 'a.b': '^1$' } },
    { deadLetter: { code: 'X' } },
  ]);
  expect(tests[1]?.input.timestamp).toBe(Date.UTC(2026, 0, 1));
});
