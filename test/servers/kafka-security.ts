/** What makes a Kafka listen with SASL and TLS too: settings, users and a certificate made on the spot by Java's keytool. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts, runOk } from './process.ts';

export interface KafkaSecurity {
  /** host:port of the listeners. The certificate is for the host "localhost" alone. */
  sasl: string;
  saslTls: string;
  tls: string;
  /** PEM of the certificate, which is its own authority. */
  ca: string;
  username: string;
  password: string;
  /** For `startKafka`. */
  properties: Record<string, string>;
  formatArguments: string[];
  /** Removes the files. */
  remove(): void;
}

const STORE_PASSWORD = 'changeit';

/** `reauthMs`: how long an authentication holds; 0 = for ever. */
export async function kafkaSecurity({ reauthMs = 0 } = {}): Promise<KafkaSecurity> {
  const folder = mkdtempSync(join(tmpdir(), 'kafka-security-'));
  const store = join(folder, 'broker.p12');
  const keytool = (...args: string[]): Promise<unknown> =>
    runOk('keytool', [...args, '-alias', 'broker', '-keystore', store, '-storepass', STORE_PASSWORD], {
      timeoutMs: 60_000,
    });
  const names = ['-dname', 'CN=localhost', '-ext', 'SAN=dns:localhost'];
  await keytool(
    '-genkeypair',
    '-keyalg',
    'RSA',
    '-keysize',
    '2048',
    '-storetype',
    'PKCS12',
    '-validity',
    '2',
    ...names,
  );
  const certificate = join(folder, 'ca.pem');
  await keytool('-exportcert', '-rfc', '-file', certificate);
  const [plain, controller, sasl, saslTls, tls] = await freePorts(5);
  const [username, password] = ['ada', 'love-lace'];
  const module = (name: string, rest = ''): string => `org.apache.kafka.common.security.${name} required${rest};`;
  const properties: Record<string, string> = {
    listeners: `PLAINTEXT://127.0.0.1:${plain},CONTROLLER://127.0.0.1:${controller},SASL://localhost:${sasl},SASLTLS://localhost:${saslTls},TLS://localhost:${tls}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${plain},SASL://localhost:${sasl},SASLTLS://localhost:${saslTls},TLS://localhost:${tls}`,
    'listener.security.protocol.map':
      'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL,TLS:SSL',
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'connections.max.reauth.ms': String(reauthMs),
    'ssl.keystore.location': store,
    'ssl.keystore.password': STORE_PASSWORD,
    'ssl.keystore.type': 'PKCS12',
  };
  for (const listener of ['sasl', 'sasltls']) {
    const at = `listener.name.${listener}`;
    properties[`${at}.plain.sasl.jaas.config`] = module('plain.PlainLoginModule', ` user_${username}="${password}"`);
    for (const mechanism of ['scram-sha-256', 'scram-sha-512']) {
      properties[`${at}.${mechanism}.sasl.jaas.config`] = module('scram.ScramLoginModule');
    }
  }
  return {
    sasl: `localhost:${sasl}`,
    saslTls: `localhost:${saslTls}`,
    tls: `localhost:${tls}`,
    ca: readFileSync(certificate, 'utf8'),
    username,
    password,
    properties,
    formatArguments: ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap(mechanism => [
      '--add-scram',
      `${mechanism}=[name=${username},password=${password}]`,
    ]),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
