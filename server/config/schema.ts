import { z } from 'zod';
import { duration, size } from '../../core/base/units.ts';
import * as compat from './compat-keys.ts';
import { securityKeys } from './security.ts';
import { address, choice } from './values.ts';

/*
 * `millstream.toml` (spec/surface.md 1): every key with its type, default and one sentence. Durations come out in
 * milliseconds, sizes in bytes, addresses as { host, port }. A null stands for "left out" where no value would be
 * right for all.
 */

const MIB = 2 ** 20;
const GIB = 2 ** 30;

const text = (description: string) => z.string().nullable().default(null).describe(description);
const count = (initial: number, description: string, min = 0) =>
  z.number().int().min(min).default(initial).describe(description);
const flag = (initial: boolean, description: string) => z.boolean().default(initial).describe(description);
const list = (description: string) => z.array(z.string()).default([]).describe(description);
const milliseconds = (initial: number, description: string, min = 0) =>
  duration({ min }).default(initial).describe(description);
const bytes = (initial: number, description: string, min = 0, max?: number) =>
  size({ min, ...(max === undefined ? {} : { max }) })
    .default(initial)
    .describe(description);

const broker = z.strictObject({
  id: z.string().min(1).default('broker-1').describe('Name of this broker; its Kafka node id is derived from it.'),
  rack_id: text('Rack or zone, reported to clients.'),
  data_dir: z.string().min(1).default('./data').describe('Everything that is stored lies here; one process at a time.'),
  log_level: choice(['debug', 'info', 'warn', 'error'], { trace: 'debug', warning: 'warn' })
    .default('info')
    .describe('What is written to standard error.'),
  auto_create_topics: flag(true, 'A produce or metadata request for an unknown topic creates it.'),
  default_partitions: count(4, 'Partitions of a topic that is created without a number.', 1),
  max_message_bytes: bytes(1048588, 'The largest record batch; per topic too.', 1024),
  pipelines_dir: z.string().default('pipelines').describe('Pipeline files (*.toml), relative to this file.'),
  modules_dir: z.string().default('modules').describe('WebAssembly modules deployed at start, relative to this file.'),
  accept_any_replication_factor: flag(true, 'On a single node: take any replication factor and report 1.'),
});

const tls = z.strictObject({
  cert_file: text('Certificate chain, PEM.'),
  key_file: text('Private key, PEM.'),
  client_ca_file: text('Authorities whose client certificates are accepted.'),
  client_auth: choice(['none', 'request', 'require']).default('none').describe('Whether clients show a certificate.'),
});

const network = z.strictObject({
  kafka_listen: address
    .default({ host: '127.0.0.1', port: 9092 })
    .describe('Address of the Kafka listener; port 0 = any free port.'),
  advertised: address.nullable().default(null).describe('host:port that clients are told; left out: the listener.'),
  http_listen: address
    .default({ host: '127.0.0.1', port: 9642 })
    .describe('Address of the HTTP listener; port 0 = any free port.'),
  max_connections: count(10_000, 'Kafka connections at one time.', 1),
  connection_timeout_ms: milliseconds(30_000, 'A connection that has not finished a request for so long is closed.', 1),
  max_request_bytes: bytes(104857600, 'The largest request.', 1024, 2 ** 31 - 1),
  compat_routes: flag(false, 'Serve the short POST routes /start, /stop, /send, /consume, /status.'),
  tls: tls.prefault({}),
  ...compat.network,
});

const wal = z.strictObject({
  path: text('Where the log lies; left out: <data_dir>/log.'),
  capacity_bytes: bytes(10 * GIB, 'Local bytes kept once object storage is on.', MIB),
  fsync_on_write: flag(true, 'An ack means on disk. false: as soon as the page cache has it.'),
  flush_interval_ms: milliseconds(1000, 'How often data is synced when fsync_on_write is false.', 1),
  segment_size_bytes: bytes(GIB, 'A log segment is rolled at this size.', 1024, 2 ** 31 - 1),
  buffer_size: bytes(65536, 'Bytes gathered for one write.', 1024),
  upload_interval_ms: milliseconds(600_000, 'How often closed segments go to object storage.', 1),
});

const cache = z.strictObject({
  write_cache_size_bytes: bytes(64 * MIB, 'The newest batches of all partitions, in memory.'),
  read_cache_size_bytes: bytes(128 * MIB, 'Batches read back from object storage.'),
  eviction_policy: choice(['lru', 'lfu', 'random'], { moka: 'lfu' })
    .default('lru')
    .describe('What leaves a full cache.'),
});

const STORAGE = ['none', 'local', 's3', 'gcs', 'azure'] as const;
const storageType = choice(STORAGE, {}, compat.localStorage);

const objectStorage = z.strictObject({
  type: storageType.optional().describe('none, local, s3, gcs or azure. Default "none".'),
  storage_type: storageType.optional().describe('Another name of type.'),
  bucket: text('Bucket or container; for local the folder.'),
  prefix: z.string().default('').describe('Put before every object name.'),
  region: text('Region of the bucket.'),
  endpoint: text('Address of an S3-compatible service.'),
  access_key: text('Left out: what the environment offers.'),
  secret_key: text('Left out: what the environment offers.'),
  multipart_threshold: bytes(104857600, 'Larger objects are uploaded in parts.', 5 * MIB),
  max_concurrent_uploads: count(10, 'Uploads at one time.', 1),
});

const controller = z.strictObject({
  endpoints: list('etcd endpoints of a cluster.'),
  election_timeout_ms: milliseconds(5000, 'After so long without the leader another is elected.', 1),
  heartbeat_interval_ms: milliseconds(1000, 'How often brokers say that they live.', 1),
  ...compat.controller,
});

const replication = z.strictObject({
  min_in_sync_replicas: count(1, 'Copies that must have a record before acks=all answers.', 1),
  ack_timeout_ms: milliseconds(5000, 'How long acks=all waits for them.', 1),
  max_replication_lag: count(1000, 'A copy that is further behind counts as out of sync.'),
  ...compat.replication,
});

const etl = z.strictObject({
  enabled: flag(true, 'Run the pipelines.'),
  memory_limit_bytes: bytes(64 * MIB, 'The most that one module instance may have, whatever a step asks for.', 65536),
  execution_timeout_ms: milliseconds(5000, 'The most time for one record, whatever a step asks for.', 1),
  allow_env: list('Environment names that pipelines deployed over REST may use.'),
  max_concurrent_executions: count(100, 'Tasks in flight over all workers.', 1),
  workers: count(0, 'Worker threads; 0 = one less than there are cores, at least one.'),
  batch_records: count(1000, 'Most records that are merged into one task.', 1),
  ...compat.etl,
});

const scaling = z.strictObject({
  max_concurrent_additions: count(3, 'Brokers that join at one time.', 1),
  max_concurrent_decommissions: count(1, 'Brokers that leave at one time.', 1),
  rebalance_timeout_ms: milliseconds(300_000, 'How long moving partitions may take.', 1),
  health_check_timeout_ms: milliseconds(30_000, 'How long a new broker has to become healthy.', 1),
  ...compat.scaling,
});

const operations = z.strictObject({
  allow_runtime_config_updates: flag(true, 'Settings may be changed over REST and the Kafka protocol.'),
  graceful_shutdown_timeout_ms: milliseconds(30_000, 'How long a stopping server waits for what is under way.', 1),
  ...compat.operations,
});

const onProduceModule = z.strictObject({
  module: z.string().min(1),
  on_error: z
    .unknown()
    .default('stop')
    .transform((given, context): 'stop' | 'drop' => {
      if (given === 'stop' || given === 'drop') return given;
      const why = given === 'dead_letter' || given === 'pass' ? ', which would store what must not be stored' : '';
      const message = `expected "stop" (the producer is told) or "drop", not ${JSON.stringify(given)}${why}`;
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    }),
  limits: z
    .strictObject({
      memory: size({ min: 64 * 1024, max: 4 * 2 ** 30 }).default(64 * 2 ** 20),
      time: duration({ min: 1 }).default(5000),
      fuel: z.number().int().min(1).optional(),
    })
    .prefault({}),
  config: z.record(z.string(), z.unknown()).default({}),
});

const topic = z.strictObject({
  partition_count: z.number().int().min(1).nullable().default(null).describe('Left out: broker.default_partitions.'),
  replication_factor: count(1, 'Copies of each partition.', 1),
  retention_ms: duration({ unbounded: true })
    .default(604_800_000)
    .describe('How long records are kept; -1 = for ever.'),
  retention_bytes: size({ unbounded: true }).default(-1).describe('How much of a partition is kept; -1 = all.'),
  cleanup: choice(['delete', 'compact']).default('delete').describe('What happens to old records.'),
  compression: choice(['producer', 'none', 'gzip', 'snappy', 'lz4', 'zstd'])
    .default('producer')
    .describe('Codec of stored batches; producer = as they come.'),
  segment_age_ms: milliseconds(604_800_000, 'A segment is rolled at this age.', 1000),
  etl_modules: z
    .array(z.preprocess(given => (typeof given === 'string' ? { module: given } : given), onProduceModule))
    .default([])
    .describe(
      'Modules that records pass before they are stored: `"NAME"`, or a table with `module`, `config`, `limits` and `on_error` ("stop": the producer is told, or "drop"). Each record becomes one or none.',
    ),
});

const schemas = z.strictObject({
  dir: text('Schemas for modules that ask a registry: SUBJECT/v1.id7.avsc, .proto or .json.'),
});

const engine = z.strictObject({
  kind: choice(['embedded', 'kafka']).default('embedded').describe('Where topics live: in this process, or in Kafka.'),
  kafka: z
    .strictObject({
      brokers: list('host:port of some brokers.'),
      session_timeout_ms: milliseconds(
        30_000,
        'A process that the cluster has not heard of for so long loses its partitions.',
        100,
      ),
      ...securityKeys,
    })
    .prefault({}),
});

/** The whole file. Every section may be left out. */
export const serverConfigSchema = z.strictObject({
  broker: broker.prefault({}),
  network: network.prefault({}),
  wal: wal.prefault({}),
  cache: cache.prefault({}),
  object_storage: objectStorage.prefault({}),
  controller: controller.prefault({}),
  replication: replication.prefault({}),
  etl: etl.prefault({}),
  scaling: scaling.prefault({}),
  operations: operations.prefault({}),
  topics: z.record(z.string().regex(/^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/, 'not a topic name'), topic).default({}),
  schemas: schemas.prefault({}),
  engine: engine.prefault({}),
  ...compat.sections,
});

export type ParsedConfig = z.output<typeof serverConfigSchema>;
