import { resolve } from 'node:path';
import { z } from 'zod';
import {
  type ClusterAccess,
  clusterAccess,
  SECURITY_VARIABLES,
  type Security,
  securityKeys,
} from '../config/security.ts';
import { readTextFile } from '../read-text-file.ts';
import type { Io, OptionSpec, Values } from './command.ts';
import { text, usageError } from './command.ts';

/** TLS and SASL of the brokers that a command talks to: options, else variables. */

export const ACCESS_OPTIONS: Record<string, OptionSpec> = {
  tls: { type: 'boolean', help: 'speak TLS to the brokers (or MILLSTREAM_TLS_ENABLED=true)' },
  'tls-ca': { type: 'string', help: 'PEM file of the authorities that are trusted (or MILLSTREAM_TLS_CA_FILE)' },
  sasl: { type: 'string', help: 'plain, scram-sha-256 or scram-sha-512 (or MILLSTREAM_SASL_MECHANISM)' },
  user: { type: 'string', help: 'user name (or MILLSTREAM_SASL_USERNAME); password: MILLSTREAM_SASL_PASSWORD' },
};

const schema = z.strictObject(securityKeys);

/** `configured`: what millstream.toml says, when the brokers are those of it; `baseDirectory`: where its files lie. */
export function accessOf(
  values: Values,
  io: Io,
  configured?: { security: Security; baseDirectory: string },
): ClusterAccess {
  const given = givenIn(values, io);
  if (configured && given.tls === undefined && given.sasl === undefined) {
    return clusterAccess(configured.security, path => readTextFile(resolve(configured.baseDirectory, path)));
  }
  const { sasl } = given;
  if (sasl && sasl['username'] === undefined)
    throw usageError('SASL needs a user name', '--user NAME, or MILLSTREAM_SASL_USERNAME');
  if (sasl && sasl['password'] === undefined) {
    throw usageError(
      'SASL needs a password',
      'Set MILLSTREAM_SASL_PASSWORD: whoever lists the processes sees an option.',
    );
  }
  const checked = schema.safeParse(given);
  if (checked.success) return clusterAccess(checked.data, path => readTextFile(resolve(io.cwd, path)));
  const [issue] = checked.error.issues;
  throw usageError(`${issue?.path.join('.')}: ${issue?.message}`);
}

type Given = Partial<Record<'tls' | 'sasl', Record<string, unknown>>>;

function givenIn(values: Values, io: Io): Given {
  const given: Given = {};
  const set = (table: 'tls' | 'sasl', key: string, value: unknown): void => {
    given[table] = { ...given[table], [key]: value };
  };
  for (const [name, [table, key]] of Object.entries(SECURITY_VARIABLES)) {
    const value = io.env[name];
    if (value !== undefined && value !== '') set(table, key, key === 'enabled' ? truth(name, value) : value);
  }
  if (values['tls'] === true) set('tls', 'enabled', true);
  for (const [option, table, key] of [
    ['tls-ca', 'tls', 'ca_file'],
    ['sasl', 'sasl', 'mechanism'],
    ['user', 'sasl', 'username'],
  ] as const) {
    const value = text(values, option);
    if (value !== undefined) set(table, key, value);
  }
  return given;
}

function truth(name: string, value: string): boolean {
  if (!/^(true|false)$/i.test(value)) throw usageError(`${name} is true or false, not "${value}"`);
  return value.toLowerCase() === 'true';
}
