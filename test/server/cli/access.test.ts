import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Io, Values } from '../../../server/cli/command.ts';
import { brokersOf } from '../../../server/cli/target.ts';
import { nodeNetwork } from '../../../core/base/node-network.ts';

/** Which brokers a command talks to, and how. test/compat/secured.test.ts does it. */
describe('the brokers of a command', () => {
  const cwd = mkdtempSync(join(tmpdir(), 'access-'));
  afterAll(() => rmSync(cwd, { recursive: true }));
  const nothing = (): void => {};
  const of = (values: Values, env: Record<string, string> = {}) => {
    const { signal } = new AbortController();
    const io: Io = {
      out: nothing,
      err: nothing,
      drained: async () => {},
      env,
      cwd,
      stdin: process.stdin,
      isTerminal: false,
      signal,
      leave: nothing,
    };
    return brokersOf(values, io);
  };

  test('an option wins over a variable, a variable over the configuration', () => {
    expect(of({ brokers: 'a:1, b:2' }, { MILLSTREAM_BROKERS: 'c:3' }).brokers).toEqual(['a:1', 'b:2']);
    expect(of({}, { MILLSTREAM_BROKERS: 'c:3' }).brokers).toEqual(['c:3']);
    expect(of({}).brokers).toEqual(['127.0.0.1:9092']);
    expect(() => of({}, { MILLSTREAM_BROKERS: 'c:3,' })).toThrow(/MILLSTREAM_BROKERS takes host:port/);
  });

  test('without anything said there is neither TLS nor a login', () => {
    expect(of({})).toMatchObject({ network: nodeNetwork, sasl: null });
  });

  test('a login is a user name and a password; the mechanism is in any case', () => {
    const password = { MILLSTREAM_SASL_PASSWORD: 'love' };
    expect(of({ user: 'ada' }, password).sasl).toEqual({ mechanism: 'plain', username: 'ada', password: 'love' });
    expect(of({ user: 'ada', sasl: 'SCRAM-SHA-512' }, password).sasl).toMatchObject({ mechanism: 'scram-sha-512' });
    expect(() => of({ user: 'ada' })).toThrow('SASL needs a password');
    expect(() => of({ sasl: 'plain' }, password)).toThrow('SASL needs a user name');
    expect(() => of({ sasl: 'gssapi', user: 'ada' }, password)).toThrow(/sasl\.mechanism: expected one of "plain"/);
  });

  test('TLS is spoken when it is asked for, or when one of its files is named', () => {
    writeFileSync(join(cwd, 'ca.pem'), '');
    expect(of({ tls: true }).network).not.toBe(nodeNetwork);
    expect(of({ 'tls-ca': 'ca.pem' }).network).not.toBe(nodeNetwork);
    expect(of({ 'tls-ca': 'ca.pem' }, { MILLSTREAM_TLS_ENABLED: 'false' }).network).toBe(nodeNetwork);
    expect(() => of({ 'tls-ca': 'none.pem' })).toThrow(/none\.pem cannot be read/);
    expect(() => of({}, { MILLSTREAM_TLS_KEY_FILE: 'ca.pem' })).toThrow('tls.key_file is set without tls.cert_file');
    expect(() => of({}, { MILLSTREAM_TLS_ENABLED: 'yes' })).toThrow('MILLSTREAM_TLS_ENABLED is true or false');
  });

  test('[engine.kafka] says it where its brokers are meant; what the command says takes its place', () => {
    const engine = '[engine]\nkind = "kafka"\n[engine.kafka]\nbrokers = ["k:9093"]\n';
    const security =
      '[engine.kafka.tls]\nca_file = "ca.pem"\n[engine.kafka.sasl]\nusername = "ada"\npassword = "love"\n';
    writeFileSync(join(cwd, 'ca.pem'), '');
    writeFileSync(join(cwd, 'millstream.toml'), engine + security);
    const found = of({});
    expect(found).toMatchObject({ brokers: ['k:9093'], sasl: { username: 'ada' } });
    expect(found.network).not.toBe(nodeNetwork);
    expect(of({ brokers: 'other:1' })).toMatchObject({ brokers: ['other:1'], network: nodeNetwork, sasl: null });
    expect(of({ user: 'grace' }, { MILLSTREAM_SASL_PASSWORD: 'hopper' })).toMatchObject({
      brokers: ['k:9093'],
      sasl: { username: 'grace' },
    });
    rmSync(join(cwd, 'millstream.toml'));
  });
});
