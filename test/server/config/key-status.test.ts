import { describe, expect, test } from 'vitest';
import { findings, load } from './loading.ts';

describe('keys without effect', () => {
  test('are named when they are set to something', () => {
    expect(findings(load('[wal]\ncapacity_bytes = "1GiB"\n[object_storage]\ntype = "S3"\nbucket = "b"'))).toEqual([
      '2:1 warning: `wal.capacity_bytes` is read but has no effect yet',
      '4:1 warning: `object_storage.type` is read but has no effect yet',
      '5:1 warning: `object_storage.bucket` is read but has no effect yet',
    ]);
    expect(load('[object_storage]\ntype = "none"\n[replication]\nmin_in_sync_replicas = 1').diagnostics).toEqual([]);
  });

  test('are refused where silence would be dangerous', () => {
    expect(
      findings(
        load(
          '[network.tls]\ncert_file = "c.pem"\n[engine]\nkind = "embedded"\n[topics.a]\ncleanup = "compact"\n[security.tls]\nenabled = true',
        ),
      ),
    ).toEqual([
      '2:1 `network.tls.cert_file` is set, but TLS is not served yet; remove it to serve plain text',
      '8:1 `security.tls.enabled` is true, but TLS is not served yet; remove it to serve plain text',
    ]);
  });

  test('of a broker in this process are named where topics live in a cluster, and the reverse', () => {
    const cluster = '[engine.kafka]\nbrokers = ["k:9092"]\n';
    expect(
      findings(load(`[engine]\nkind = "Kafka"\n${cluster}[wal]\npath = "x"\n[broker]\nlog_level = "warn"`)),
    ).toEqual([
      expect.stringMatching(/^2:1 warning: `engine.kind` is "kafka": .*max_backlog.*trace, audit.* are not there$/),
      '6:1 warning: `wal.path` has no effect: topics live in a Kafka cluster ([engine] kind)',
    ]);
    expect(findings(load('[engine]\nkind = "kafka"'))).toEqual([
      '2:8 `engine.kind` is "kafka", but `engine.kafka.brokers` names none (brokers = ["host:port", ...] below [engine.kafka])',
    ]);
    expect(findings(load(cluster))).toEqual([
      '1:9 warning: `engine.kafka` has no effect while engine.kind is "embedded"',
    ]);
    expect(findings(load(`${cluster}sasl = { username = "ada" }\n[engine]\nkind = "kafka"`))).toContain(
      '3:1 `engine.kafka.sasl.password` is missing',
    );
  });

  test('from the environment are named by their variable', () => {
    expect(findings(load(null, { MILLSTREAM_STORAGE_BUCKET: 'b' }))).toEqual([
      'environment variable MILLSTREAM_STORAGE_BUCKET warning: `object_storage.bucket` is read but has no effect yet',
    ]);
  });
});
