import { describe, expect, test } from 'vitest';
import { sinkConnectors } from '../../../connectors/index.ts';
import type { BigQueryConfig } from '../../../connectors/bigquery/config.ts';
import { ENVIRONMENT } from '../../../server/subscriber/environment.ts';
import { readSubscriberSettings, type SubscriberSettings } from '../../../server/subscriber/settings.ts';

const REQUIRED = { GCP_PROJECT_ID: 'p', BIGQUERY_DATASET: 'd', BIGQUERY_TABLE: 't', MILLSTREAM_TOPIC: 'events' };

function read(
  env: Record<string, string>,
  file: string | null = null,
): SubscriberSettings & { connector: BigQueryConfig } {
  const connectorSchema = sinkConnectors().get('bigquery')?.config;
  if (!connectorSchema) throw new Error('there is no connector `bigquery`');
  const settings = readSubscriberSettings({
    file: file === null ? null : 'subscriber.toml',
    env,
    readFile: () => file ?? '',
    connectorSchema,
  });
  return settings as SubscriberSettings & { connector: BigQueryConfig };
}

const withEnv = (more: Record<string, string>) => read({ ...REQUIRED, ...more });

test('the four required variables are enough; the rest has the documented defaults', () => {
  const settings = read(REQUIRED);
  expect(settings).toMatchObject({
    subscription: { topic: 'events', broker_endpoints: ['127.0.0.1:9092'], start: 'earliest', session_timeout: 30_000 },
    batch: { records: 1000, bytes: 10_485_760, linger: 1000, concurrent: 10 },
    retry: { attempts: 3, from: 1000, to: 30_000, on_exhausted: 'wait' },
    dead_letter: { action: 'log' },
    network: { http_listen: { host: '0.0.0.0', port: 8080 } },
    log_level: 'info',
    connector: {
      project_id: 'p',
      dataset: 'd',
      table: 't',
      write_method: 'streaming_inserts',
      auto_create_table: false,
      auth: { method: 'application_default' },
      schema: { mapping: 'direct' },
    },
  });
  expect(settings.dead_letter.topic).toBeUndefined();
});

/** What a login needs besides the variable that is tried. */
const LOGIN = { mechanism: 'plain', username: 'ada', password: 'love' };
const LOGIN_VARIABLES = { MILLSTREAM_SASL_USERNAME: LOGIN.username, MILLSTREAM_SASL_PASSWORD: LOGIN.password };

/** Variable, a value, and what of the settings it makes. */
const CASES: Record<string, [value: string, settings: object]> = {
  GCP_PROJECT_ID: ['other', { connector: { project_id: 'other' } }],
  BIGQUERY_DATASET: ['sales', { connector: { dataset: 'sales' } }],
  BIGQUERY_TABLE: ['orders', { connector: { table: 'orders' } }],
  MILLSTREAM_TOPIC: ['orders.clean', { subscription: { topic: 'orders.clean' } }],
  MILLSTREAM_BROKERS: ['a:9092, b:9093', { subscription: { broker_endpoints: ['a:9092', 'b:9093'] } }],
  MILLSTREAM_TLS_ENABLED: ['true', { subscription: { tls: { enabled: true } } }],
  MILLSTREAM_TLS_CA_FILE: ['/ca.pem', { subscription: { tls: { ca_file: '/ca.pem' } } }],
  MILLSTREAM_TLS_CERT_FILE: ['/cert.pem', { subscription: { tls: { cert_file: '/cert.pem' } } }],
  MILLSTREAM_TLS_KEY_FILE: ['/key.pem', { subscription: { tls: { key_file: '/key.pem' } } }],
  MILLSTREAM_TLS_SERVER_NAME: ['kafka.internal', { subscription: { tls: { server_name: 'kafka.internal' } } }],
  MILLSTREAM_SASL_MECHANISM: ['SCRAM-SHA-512', { subscription: { sasl: { ...LOGIN, mechanism: 'scram-sha-512' } } }],
  MILLSTREAM_SASL_USERNAME: ['grace', { subscription: { sasl: { ...LOGIN, username: 'grace' } } }],
  MILLSTREAM_SASL_PASSWORD: ['hopper', { subscription: { sasl: { ...LOGIN, password: 'hopper' } } }],
  AUTH_METHOD: ['METADATA_SERVER', { connector: { auth: { method: 'metadata_server' } } }],
  MAX_ROWS_PER_BATCH: ['50', { batch: { records: 50 } }],
  MAX_BATCH_SIZE_BYTES: ['4096', { batch: { bytes: 4096 } }],
  MAX_BATCH_LATENCY_MS: ['250', { batch: { linger: 250 } }],
  MAX_CONCURRENT_BATCHES: ['2', { batch: { concurrent: 2 } }],
  SCHEMA_MAPPING: ['nested', { connector: { schema: { mapping: 'nested' } } }],
  AUTO_CREATE_TABLE: ['true', { connector: { auto_create_table: true } }],
  MAX_RETRIES: ['7', { retry: { attempts: 7 } }],
  RETRY_BASE_MS: ['10', { retry: { from: 10 } }],
  RETRY_MAX_MS: ['20', { retry: { to: 20 } }],
  DEAD_LETTER_ACTION: ['dead_letter_queue', { dead_letter: { action: 'dead_letter_queue' } }],
  DEAD_LETTER_TOPIC: ['refused', { dead_letter: { topic: 'refused' } }],
  DEAD_LETTER_FILE: ['/var/refused.ndjson', { dead_letter: { file: '/var/refused.ndjson' } }],
  WRITE_METHOD: ['storage_write_api', { connector: { write_method: 'storage_write_api' } }],
  BIGQUERY_EMULATOR_HOST: ['http://127.0.0.1:9050', { connector: { endpoint: 'http://127.0.0.1:9050' } }],
  BIGQUERY_STORAGE_EMULATOR_HOST: ['127.0.0.1:9060', { connector: { storage_endpoint: '127.0.0.1:9060' } }],
  MILLSTREAM_NETWORK_HTTP_LISTEN: ['127.0.0.1:0', { network: { http_listen: { host: '127.0.0.1', port: 0 } } }],
  MILLSTREAM_BROKER_LOG_LEVEL: ['warn', { log_level: 'warn' }],
  MILLSTREAM_LOG_LEVEL: ['DEBUG', { log_level: 'debug' }],
};

test.each(Object.entries(CASES))('%s', (name, [value, expected]) => {
  const others = name.startsWith('MILLSTREAM_SASL_') ? LOGIN_VARIABLES : {};
  expect(withEnv({ ...others, [name]: value })).toMatchObject(expected);
});

test('every variable has a case', () => {
  expect(Object.keys(CASES).toSorted()).toEqual(Object.keys(ENVIRONMENT).toSorted());
});

test('an empty variable counts as not set', () => {
  expect(withEnv({ MAX_RETRIES: '', DEAD_LETTER_ACTION: '' })).toEqual(read(REQUIRED));
});

describe('the file', () => {
  const FILE = `
project_id = "p"
dataset = "d"
table = "\${TABLE:-t}"

[subscription]
topic = "events"
broker_endpoints = ["kafka:9092"]
session_timeout = "10s"

[write_method.storage_write_api]
stream = "buffered"

[schema]
mapping = "custom"

[schema.column_mappings]
"user_data.user_id" = "user_id"

[schema.default_values]
loaded_at = "CURRENT_TIMESTAMP()"

[dead_letter]
action = "file"
`;

  test('says the same, and the environment wins over it', () => {
    const settings = read({ TABLE: 'orders', MILLSTREAM_TOPIC: 'other' }, FILE);
    expect(settings).toMatchObject({
      subscription: { topic: 'other', broker_endpoints: ['kafka:9092'], session_timeout: 10_000 },
      dead_letter: { action: 'file' },
      connector: {
        table: 'orders',
        write_method: { storage_write_api: { stream: 'buffered' } },
        schema: { column_mappings: { 'user_data.user_id': 'user_id' } },
      },
    });
  });

  test('is judged with line and column', () => {
    expect(() => read({}, FILE.replace('action = "file"', 'actoin = "file"'))).toThrow(
      /subscriber\.toml:\d+:1: error: unknown key `dead_letter\.actoin`|unknown key `actoin`/,
    );
  });
});

describe('what is wrong is named by its variable', () => {
  test('all that is missing at once', () => {
    for (const name of Object.keys(REQUIRED)) expect(() => read({})).toThrow(`the variable ${name} is not set`);
    expect(() => read({ ...REQUIRED, MILLSTREAM_TOPIC: '' })).toThrow(/the variable MILLSTREAM_TOPIC is not set/);
  });

  test.each([
    ['MAX_RETRIES', 'many'],
    ['MAX_ROWS_PER_BATCH', '0'],
    ['MAX_BATCH_LATENCY_MS', 'soon'],
    ['AUTO_CREATE_TABLE', 'perhaps'],
    ['DEAD_LETTER_ACTION', 'shred'],
    ['WRITE_METHOD', 'carrier_pigeon'],
    ['AUTH_METHOD', 'handshake'],
    ['SCHEMA_MAPPING', 'odd'],
    ['MILLSTREAM_TOPIC', 'no spaces'],
    ['MILLSTREAM_NETWORK_HTTP_LISTEN', 'here'],
  ])('%s = %s', (name, value) => {
    expect(() => withEnv({ [name]: value })).toThrow(`environment variable ${name}`);
  });
});
