import { describe, expect, test } from 'vitest';
import { renderReport, reportOf } from '../../../server/config/config-check.ts';
import { environmentNames } from '../../../server/config/env.ts';
import { loadConfig } from '../../../server/config/load-config.ts';
import { configKeys, configReference } from '../../../server/config/reference.ts';
import { findings, load } from './loading.ts';

describe('defaults', () => {
  test('no file and an empty file run with the same configuration', () => {
    expect(load(null).diagnostics).toEqual([]);
    expect(load('')).toEqual(load(null));
    expect(load(null).config).toMatchObject({
      broker: { id: 'broker-1', data_dir: './data', default_partitions: 4, max_message_bytes: 1048588 },
      network: {
        kafka_listen: { host: '127.0.0.1', port: 9092 },
        http_listen: { host: '127.0.0.1', port: 9642 },
        advertised: null,
      },
      wal: { path: './data/log', capacity_bytes: 10 * 2 ** 30, fsync_on_write: true, segment_size_bytes: 2 ** 30 },
      cache: { write_cache_size_bytes: 64 * 2 ** 20, read_cache_size_bytes: 128 * 2 ** 20, eviction_policy: 'lru' },
      object_storage: { type: 'none', multipart_threshold: 104857600 },
      etl: { enabled: true, memory_limit_bytes: 67108864, execution_timeout_ms: 5000, workers: 3, batch_records: 1000 },
      operations: { graceful_shutdown_timeout_ms: 30000 },
      topics: {},
      engine: { kind: 'embedded' },
    });
  });

  test('there is at least one worker', () => {
    expect(load(null, {}, 1).config?.etl.workers).toBe(1);
    expect(load('[etl]\nworkers = 7').config?.etl.workers).toBe(7);
  });

  test('the log lies in the data directory unless the file says otherwise', () => {
    expect(load('[broker]\ndata_dir = "/var/lib/m/"').config?.wal.path).toBe('/var/lib/m/log');
    expect(load('[broker]\ndata_dir = "/a"\n[wal]\npath = "/b"').config?.wal.path).toBe('/b');
  });
});

test('values are taken with units, in any case, from variables', () => {
  const { config, diagnostics } = load(
    [
      '[broker]',
      'log_level = "DEBUG"',
      'max_message_bytes = "10MiB"',
      '[network]',
      'kafka_listen = "[::1]:0"',
      'http_listen = ":8080"',
      'advertised = "broker.example.com:19092"',
      'connection_timeout_ms = "5s"',
      'max_connections = "${MAX:-12}"',
      '[topics.orders]',
      'partition_count = 6',
      'retention_ms = -1',
      'retention_bytes = "1GiB"',
      'segment_age_ms = "1d"',
    ].join('\n'),
  );
  expect(diagnostics).toEqual([]);
  expect(config).toMatchObject({
    broker: { log_level: 'debug', max_message_bytes: 10 * 2 ** 20 },
    network: {
      kafka_listen: { host: '::1', port: 0 },
      http_listen: { host: '0.0.0.0', port: 8080 },
      advertised: { host: 'broker.example.com', port: 19092 },
      connection_timeout_ms: 5000,
      max_connections: 12,
    },
    topics: {
      orders: {
        partition_count: 6,
        retention_ms: -1,
        retention_bytes: 2 ** 30,
        segment_age_ms: 86_400_000,
        cleanup: 'delete',
      },
    },
  });
});

test.each([
  ['[broker]\ndata_dri = "x"', ['2:1 unknown key `data_dri` (did you mean `data_dir`?)']],
  ['[netwrok]\nx = 1', ['1:2 unknown key `netwrok` (did you mean `network`?)']],
  ['[topics.a]\nretention = "1d"', ['2:1 unknown key `retention` (did you mean `retention_ms`?)']],
  [
    '[network]\nkafka_listen = 9092',
    ['2:16 `network.kafka_listen`: expected host:port such as "127.0.0.1:9092" (found "9092")'],
  ],
  [
    '[network]\nkafka_listen = "localhost:70000"',
    ['2:16 `network.kafka_listen`: expected host:port such as "127.0.0.1:9092" (found "localhost:70000")'],
  ],
  [
    '[network]\nhttp_listen = "http://x:1"',
    ['2:15 `network.http_listen`: expected host:port such as "127.0.0.1:9092" (found "http://x:1")'],
  ],
  [
    '[network]\nkafka_listen = "127.0.0.1:9642"',
    ['2:16 `network.kafka_listen` and `network.http_listen` are both 127.0.0.1:9642 (give them different ports)'],
  ],
  [
    '[network]\nadvertised = "x:0"',
    ['2:14 `network.advertised` has port 0 (clients need a port that they can connect to)'],
  ],
  [
    '[broker]\nmax_message_bytes = "200MiB"',
    [
      '2:21 `broker.max_message_bytes` is more than `network.max_request_bytes` (raise `network.max_request_bytes` too: a batch travels in one request)',
    ],
  ],
  ['[wal]\nsegment_size_bytes = "4GiB"', ['2:22 `wal.segment_size_bytes`: must be at most 2147483647B']],
  ['[engine]\nkind = "kafak"', ['2:8 `engine.kind`: expected one of "embedded", "kafka" (did you mean "kafka"?)']],
  [
    '[broker]\nid = "${NOPE}"',
    ['2:6 the environment variable `NOPE` is not set (set it, or give a default: `${NOPE:-...}`)'],
  ],
  ['[broker\nid = 1', ['2:1 not valid TOML: the key, equals sign, and value must be on the same line']],
])('%j is refused with its place and the fix', (text, expected) => {
  const loaded = load(text);
  expect(loaded.config).toBeNull();
  expect(findings(loaded)).toEqual(expected);
});

test('a report shows what is set, where it comes from, and no secret', () => {
  const text = [
    '[network]',
    'kafka_listen = "${HOST:-localhost}:9092"',
    '[object_storage]',
    'secret_key = "${file:/secrets/key}"',
    '[topics."a.b"]',
    'retention_ms = "1h"',
    '[topics.c]',
    'partition_count = 2',
  ].join('\n');
  const loaded = load(text, { MILLSTREAM_WAL_BUFFER_SIZE: '128KiB' });
  expect(loaded.config?.object_storage.secret_key).toBe('geheim');
  const report = renderReport(loaded, 'millstream.toml');
  expect(report).not.toContain('geheim');
  expect(report.split('\n').filter(line => line.includes('  # '))).toEqual([
    'network.kafka_listen = "localhost:9092"  # millstream.toml:2',
    'wal.buffer_size = "128KiB"               # MILLSTREAM_WAL_BUFFER_SIZE',
    'object_storage.secret_key = "***"        # millstream.toml:4',
    'topics."a.b".retention_ms = "1h"         # millstream.toml:6',
    'topics.c.partition_count = 2             # millstream.toml:8',
  ]);
  expect(report).toMatch(/\d+ more keys have their defaults$/);
  expect(report).toContain('millstream.toml:4:1: warning: `object_storage.secret_key` is read but has no effect yet');
  const all = reportOf(loaded, 'millstream.toml').values.map(each => each.key);
  expect(all).toContain('etl.workers');
  expect(all.filter(key => key.startsWith('topics.')).slice(7, 9)).toEqual([
    'topics."a.b".etl_modules',
    'topics.c.partition_count',
  ]);
  expect(reportOf(load('[broker]\nx = 1'), 'millstream.toml').values).toEqual([]);
});

test('a file that cannot be read is one sentence', () => {
  const loaded = loadConfig({
    file: '/nope.toml',
    env: {},
    cores: 1,
    readFile: () => {
      throw new Error('ENOENT: no such file');
    },
  });
  expect(findings(loaded)).toEqual(['/nope.toml cannot be read: ENOENT: no such file']);
  expect(loaded.config).toBeNull();
});

describe('the environment', () => {
  test('overrides the file, converted to the type of the key', () => {
    const { config, origins, diagnostics } = load('[broker]\nid = "file"\n[network]\nmax_connections = 5\n', {
      MILLSTREAM_BROKER_ID: 'env',
      MILLSTREAM_NETWORK_KAFKA_LISTEN: '0.0.0.0:19092',
      MILLSTREAM_WAL_FSYNC_ON_WRITE: 'False',
      MILLSTREAM_CACHE_WRITE_CACHE_SIZE_BYTES: '1GiB',
      MILLSTREAM_ETL_ALLOW_ENV: '',
      MILLSTREAM_NETWORK_MAX_REQUEST_BYTES: '209715200',
      HOME: '/root',
    });
    expect(diagnostics).toEqual([]);
    expect(config).toMatchObject({
      broker: { id: 'env' },
      network: { kafka_listen: { host: '0.0.0.0', port: 19092 }, max_connections: 5, max_request_bytes: 209715200 },
      wal: { fsync_on_write: false },
      cache: { write_cache_size_bytes: 2 ** 30 },
      etl: { allow_env: [] },
    });
    expect(origins.get('broker.id')).toEqual({ from: 'environment', name: 'MILLSTREAM_BROKER_ID' });
    expect(origins.get('network.max_connections')).toEqual({ from: 'file', file: 'millstream.toml', line: 4 });
    expect(origins.get('wal.path')).toBeUndefined();
  });

  test('short names work, and the full name wins', () => {
    expect(load(null, { MILLSTREAM_BATCH_SIZE: '50', MILLSTREAM_LOG_LEVEL: 'warn' }).config).toMatchObject({
      etl: { batch_records: 50 },
      broker: { log_level: 'warn' },
    });
    const both = { MILLSTREAM_ETL_BATCH_RECORDS: '7', MILLSTREAM_BATCH_SIZE: '50' };
    expect(load(null, both).config?.etl.batch_records).toBe(7);
  });

  test('a wrong value names the variable', () => {
    const loaded = load('[etl]\nbatch_records = 5', { MILLSTREAM_ETL_BATCH_RECORDS: 'many' });
    expect(findings(loaded)).toEqual([
      'environment variable MILLSTREAM_ETL_BATCH_RECORDS `etl.batch_records`: expected a number, found a string',
    ]);
  });

  test('a misspelt name is a warning, and names that others read are none', () => {
    const loaded = load(null, {
      MILLSTREAM_NETWORK_KAFKA_LISTN: 'x',
      MILLSTREAM_SERVICE_HOST: '10.0.0.1',
      MILLSTREAM_PORT_9092_TCP: 'tcp://10.0.0.1:9092',
      MILLSTREAM_BROKERS: 'x',
    });
    expect(findings(loaded)).toEqual([
      'environment variable MILLSTREAM_NETWORK_KAFKA_LISTN warning: no key of millstream.toml has this name (did you mean MILLSTREAM_NETWORK_KAFKA_LISTEN?)',
    ]);
    expect(loaded.config).not.toBeNull();
  });

  test('every key of the reference has a name, and no two keys share one', () => {
    const paths = [...environmentNames().values()].map(path => path.join('.'));
    const missing = configKeys()
      .map(key => key.path.join('.'))
      .filter(key => !key.startsWith('topics.') && !paths.includes(key));
    expect(missing).toEqual([]);
    const full = [...environmentNames()].filter(
      ([name, path]) => name === `MILLSTREAM_${path.join('_').toUpperCase()}`,
    );
    expect(new Set(full.map(([, path]) => path.join('.'))).size).toBe(full.length);
  });
});

const RUSTMQ = `
[broker]
id = "broker-001"
rack_id = "rack-1"
[network]
quic_listen = "0.0.0.0:9092"
rpc_listen = "0.0.0.0:9093"
max_connections = 1000
[network.quic_config]
max_concurrent_uni_streams = 100
max_idle_timeout_ms = 30000
[wal]
path = "/tmp/wal"
fsync_on_write = false
flush_interval_ms = 500
[cache]
eviction_policy = "Moka"
[object_storage]
storage_type = { Local = { path = "/tmp/storage" } }
[controller]
node_id = 1
raft_listen = "0.0.0.0:9095"
rpc_listen = "0.0.0.0:9094"
http_listen = "0.0.0.0:9642"
[controller.raft]
max_payload_entries = 300
[[raft.peers]]
id = 1
[replication]
heartbeat_timeout_ms = 3000
[etl]
pipelines = []
[autobalancer]
enabled = true
cpu_threshold = 0.8
cooldown_seconds = 300
[scaling]
traffic_migration_rate = 0.1
[operations]
upgrade_velocity = 1
[operations.kubernetes]
use_stateful_sets = true
wal_volume_size = "50Gi"
`;

test("RustMQ's file starts the server, and every key that does nothing is named", () => {
  const { config, diagnostics } = load(RUSTMQ);
  expect(diagnostics.filter(each => each.severity === 'error')).toEqual([]);
  expect(config).toMatchObject({
    broker: { id: 'broker-001', rack_id: 'rack-1' },
    network: { max_connections: 1000 },
    wal: { path: '/tmp/wal', fsync_on_write: false, flush_interval_ms: 500 },
    cache: { eviction_policy: 'lfu' },
    object_storage: { type: 'local', bucket: '/tmp/storage' },
  });
  const named = diagnostics.map(each => each.path);
  for (const key of [
    'network.quic_listen',
    'network.rpc_listen',
    'network.quic_config',
    'controller.node_id',
    'controller.raft_listen',
    'controller.rpc_listen',
    'controller.http_listen',
    'controller.raft',
    'raft.peers',
    'autobalancer.enabled',
    'scaling.traffic_migration_rate',
    'operations.upgrade_velocity',
    'operations.kubernetes',
  ]) {
    expect(named).toContain(key);
  }
});

test('keys that are taken for RustMQ have types too', () => {
  expect(
    findings(load('[autobalancer]\nenabled = "yes"\n[operations.kubernetes]\nwal_volume_size = "big"')).filter(
      each => !each.includes('warning'),
    ),
  ).toEqual([
    '2:11 `autobalancer.enabled`: expected true or false, found a string',
    '4:19 `operations.kubernetes.wal_volume_size`: expected a size such as "64MiB" or "500KB"',
  ]);
});

test('the reference shows every key with its default as it would be written', () => {
  const reference = configReference();
  expect(reference).toContain('| `kafka_listen` | host:port | `"127.0.0.1:9092"` |');
  expect(reference).toContain('| `write_cache_size_bytes` | size | `"64MiB"` |');
  expect(reference).toContain('| `retention_ms` | duration | `"7d"` |');
  for (const { path, default: initial } of configKeys()) {
    // A login is whole or not there.
    const isPart = path[0] === 'topics' || path.includes('sasl');
    if (initial === null || isPart || path.join('.') === 'etl.workers') continue;
    const written = load(`[${path.slice(0, -1).join('.')}]\n${path.at(-1)} = ${initial}`);
    expect(written.config).toEqual(load(null).config);
  }
});
