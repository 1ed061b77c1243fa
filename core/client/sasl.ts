import { MillstreamError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { ApiKey } from '../protocol/api.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import { BrokerError } from './broker-error.ts';
import type { Connection } from './connection.ts';
import { Scram } from './scram.ts';

export const SASL_MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const;

export interface SaslOptions {
  mechanism: (typeof SASL_MECHANISMS)[number];
  username: string;
  password: string;
}

const NONCE_BYTES = 24;

/**
 * Authenticates a fresh connection (KIP-43, KIP-152). Returns for how many milliseconds that holds; 0: for ever. Throws
 * kind `unavailable`, code AUTH_FAILED, not retriable: the same name and password will be refused again.
 */
export async function authenticate(connection: Connection, sasl: SaslOptions, random: Random): Promise<number> {
  const mechanism = sasl.mechanism.toUpperCase();
  const { address } = connection;
  const shaken = await connection.send(ApiKey.SaslHandshake, { mechanism }).catch((error: unknown) => {
    throw error instanceof BrokerError ? failed(`${address} takes no authentication on this listener`, error) : error;
  });
  if (shaken.errorCode === ErrorCode.UNSUPPORTED_SASL_MECHANISM) {
    throw failed(`${address} does not take ${mechanism}, but ${shaken.mechanisms.join(', ') || 'no mechanism'}`);
  }
  if (shaken.errorCode !== ErrorCode.NONE) {
    throw failed(`${address} takes no authentication on this listener`, new BrokerError(shaken.errorCode, address));
  }
  let lifetimeMs = 0;
  const say = async (text: string): Promise<string> => {
    const answer = await connection.send(ApiKey.SaslAuthenticate, { authBytes: Buffer.from(text) });
    if (answer.errorCode !== ErrorCode.NONE) {
      const words = answer.errorMessage || 'the credentials are wrong';
      const cause = new BrokerError(answer.errorCode, address, answer.errorMessage);
      throw failed(`${address} refuses user ${sasl.username}: ${words}`, cause);
    }
    lifetimeMs = answer.sessionLifetimeMs;
    return Buffer.from(answer.authBytes).toString();
  };
  if (sasl.mechanism === 'plain') {
    // RFC 4616: authorization id (the user's own), user, password.
    await say(`\0${sasl.username}\0${sasl.password}`);
    return lifetimeMs;
  }
  const nonce = Buffer.from(random.fill(new Uint8Array(NONCE_BYTES))).toString('base64url');
  const hash = sasl.mechanism === 'scram-sha-256' ? 'sha256' : 'sha512';
  const scram = new Scram(hash, sasl.username, sasl.password, nonce);
  scram.verify(await say(await scram.final(await say(scram.first()))));
  return lifetimeMs;
}

function failed(message: string, cause?: unknown): MillstreamError {
  return new MillstreamError('unavailable', 'AUTH_FAILED', message, {
    retriable: false,
    cause,
    help: 'Check the mechanism, the user name and the password.',
  });
}
