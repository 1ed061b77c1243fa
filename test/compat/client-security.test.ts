import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../core/base/clock.ts';
import { nodeNetwork, tlsNetwork } from '../../core/base/node-network.ts';
import { systemRandom } from '../../core/base/random.ts';
import { Cluster, type ClusterOptions } from '../../core/client/cluster.ts';
import { consume } from '../../core/client/consumer.ts';
import { Producer } from '../../core/client/producer.ts';
import { SASL_MECHANISMS, type SaslOptions } from '../../core/client/sasl.ts';
import { startKafka } from '../servers/kafka.ts';
import { type KafkaSecurity, kafkaSecurity } from '../servers/kafka-security.ts';
import type { Target } from '../servers/target.ts';
import { requireTool } from '../servers/tools.ts';

/*
 * Our client at Apache Kafka's listeners with TLS and SASL: each way in, and what a person is told when it is the wrong
 * one.
 */

const REAUTH_MS = 2000;

describe.skipIf(requireTool('kafka') === null)('our client and the listeners of Apache Kafka', () => {
  vi.setConfig({ testTimeout: 120_000, hookTimeout: 240_000 });
  let security: KafkaSecurity;
  let kafka: Target;
  const open: Cluster[] = [];
  beforeAll(async () => {
    security = await kafkaSecurity({ reauthMs: REAUTH_MS });
    kafka = await startKafka(security.properties, security.formatArguments);
  });
  afterEach(async () => {
    for (const cluster of open.splice(0)) await cluster.close();
  });
  afterAll(async () => {
    await kafka?.stop();
    security?.remove();
  });

  const connect = (broker: string, options: Partial<ClusterOptions> = {}): Cluster => {
    const common = { network: nodeNetwork, clock: systemClock, random: systemRandom, retryForMs: 1000 };
    const cluster = new Cluster({ brokers: [broker], ...common, ...options });
    open.push(cluster);
    return cluster;
  };
  const sasl = (mechanism: SaslOptions['mechanism'], password = security.password): SaslOptions => ({
    mechanism,
    username: security.username,
    password,
  });
  const trusting = (): ReturnType<typeof tlsNetwork> => tlsNetwork({ ca: security.ca });

  async function roundTrip(cluster: Cluster, topic: string): Promise<void> {
    const producer = new Producer(cluster, { deliveryTimeoutMs: 60_000 });
    await producer.send(topic, [{ key: null, value: Buffer.from('through'), partition: 0 }]);
    await producer.close();
    for await (const records of consume(cluster, { topic, from: 'earliest', exitAtEnd: true })) {
      expect(Buffer.from(records[0]?.value ?? []).toString()).toBe('through');
    }
  }
  const refusal = (cluster: Cluster): Promise<unknown> =>
    cluster
      .retrying(() => cluster.metadata([]))
      .then(
        () => null,
        (error: unknown) => error,
      );

  test.each(SASL_MECHANISMS)('SASL %s, without and with TLS', async mechanism => {
    await roundTrip(connect(security.sasl, { sasl: sasl(mechanism), retryForMs: 60_000 }), `sasl-${mechanism}`);
    const network = trusting();
    const secured = connect(security.saslTls, { sasl: sasl(mechanism), network, retryForMs: 60_000 });
    await roundTrip(secured, `sasl-tls-${mechanism}`);
  });

  test('TLS alone', async () => {
    await roundTrip(connect(security.tls, { network: trusting(), retryForMs: 60_000 }), 'tls-alone');
  });

  test.each(SASL_MECHANISMS)('a wrong password with %s is told at once, and as that', async mechanism => {
    const error = await refusal(connect(security.sasl, { sasl: sasl(mechanism, 'wrong'), retryForMs: 60_000 }));
    expect(error).toMatchObject({ kind: 'unavailable', code: 'AUTH_FAILED', retriable: false });
    expect(error).toMatchObject({ message: expect.stringContaining('refuses user ada') });
  });

  test('a certificate for another host, and one that nobody vouches for', async () => {
    const byAddress = security.tls.replace('localhost', '127.0.0.1');
    expect(await refusal(connect(byAddress, { network: trusting() }))).toMatchObject({ code: 'TLS_WRONG_HOST' });
    const named = tlsNetwork({ ca: security.ca, serverName: 'localhost' });
    expect(await refusal(connect(byAddress, { network: named }))).toBeNull();
    expect(await refusal(connect(security.tls, { network: tlsNetwork() }))).toMatchObject({ code: 'TLS_NOT_TRUSTED' });
  });

  test('a listener that wants what it does not get, and the reverse', async () => {
    const help = expect.stringMatching(/TLS|SASL/);
    expect(await refusal(connect(security.sasl))).toMatchObject({ kind: 'unavailable', help });
    expect(await refusal(connect(security.tls))).toMatchObject({ kind: 'unavailable', help });
    const plain = kafka.bootstrap;
    expect(await refusal(connect(plain, { network: trusting() }))).toMatchObject({ kind: 'unavailable', help });
    expect(await refusal(connect(plain, { sasl: sasl('plain') }))).toMatchObject({ code: 'AUTH_FAILED' });
  });

  test('goes on when an authentication comes to its end, without losing a request', async () => {
    const cluster = connect(security.sasl, { sasl: sasl('scram-sha-256') });
    const producer = new Producer(cluster);
    const end = performance.now() + 2.5 * REAUTH_MS;
    let sent = 0;
    while (performance.now() < end) {
      const [place] = await producer.send('reauth', [{ key: null, value: Buffer.from(String(sent)), partition: 0 }]);
      expect(place?.offset).toBe(sent++);
      await new Promise(resolve => setTimeout(resolve, 20));
    }
    await producer.close();
    expect(sent).toBeGreaterThan(10);
  });
});
