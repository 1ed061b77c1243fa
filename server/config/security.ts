import { z } from 'zod';
import { MillstreamError } from '../../core/base/errors.ts';
import type { Network } from '../../core/base/network.ts';
import { nodeNetwork, tlsNetwork } from '../../core/base/node-network.ts';
import { SASL_MECHANISMS, type SaslOptions } from '../../core/client/sasl.ts';
import { choice } from './values.ts';

/*
 * How a cluster of Kafka brokers is reached that wants TLS or a name and password: the same keys and variables wherever
 * we are its client.
 */

const text = (description: string) => z.string().min(1).nullable().default(null).describe(description);

const tls = z.strictObject({
  enabled: z
    .boolean()
    .nullable()
    .default(null)
    .describe('Speak TLS to the brokers; left out: when another key here is set.'),
  ca_file: text('Authorities that are trusted, PEM; left out: those that come with Node.'),
  cert_file: text('Certificate that this side shows when it is asked for one, PEM.'),
  key_file: text('Its private key, PEM.'),
  server_name: text('Name that must stand in the certificate; left out: the host that is connected to.'),
});

const sasl = z.strictObject({
  mechanism: choice(SASL_MECHANISMS).default('plain').describe('How name and password are sent.'),
  username: z.string().min(1).describe('User name.'),
  password: z.string().min(1).describe('Password.'),
});

export const securityKeys = {
  tls: tls.prefault({}),
  sasl: sasl.nullable().default(null).describe('How this side authenticates.'),
};
export type Security = z.output<z.ZodObject<typeof securityKeys>>;

/** Variables of the command line and the BigQuery container, and the key that each sets. */
export const SECURITY_VARIABLES: Readonly<Record<string, readonly [table: 'tls' | 'sasl', key: string]>> = {
  MILLSTREAM_TLS_ENABLED: ['tls', 'enabled'],
  MILLSTREAM_TLS_CA_FILE: ['tls', 'ca_file'],
  MILLSTREAM_TLS_CERT_FILE: ['tls', 'cert_file'],
  MILLSTREAM_TLS_KEY_FILE: ['tls', 'key_file'],
  MILLSTREAM_TLS_SERVER_NAME: ['tls', 'server_name'],
  MILLSTREAM_SASL_MECHANISM: ['sasl', 'mechanism'],
  MILLSTREAM_SASL_USERNAME: ['sasl', 'username'],
  MILLSTREAM_SASL_PASSWORD: ['sasl', 'password'],
};

/** What a cluster needs for it. */
export interface ClusterAccess {
  network: Network;
  sasl: SaslOptions | null;
}

/** Reads the files. Kind `invalid`, code BAD_CONFIG when one cannot be read or stands alone. */
export function clusterAccess(
  { tls: asked, sasl: login }: Security,
  readFile: (path: string) => string,
): ClusterAccess {
  const { enabled, ca_file: ca, cert_file: cert, key_file: key, server_name: serverName } = asked;
  const isWanted = enabled ?? [ca, cert, key, serverName].some(each => each !== null);
  if (!isWanted) return { network: nodeNetwork, sasl: login };
  if ((cert === null) !== (key === null)) {
    throw bad(
      cert === null ? 'tls.key_file is set without tls.cert_file' : 'tls.cert_file is set without tls.key_file',
    );
  }
  const read = (path: string): string => {
    try {
      return readFile(path);
    } catch (cause) {
      throw bad(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
    }
  };
  const network = tlsNetwork({
    ...(ca !== null && { ca: read(ca) }),
    ...(cert !== null && { cert: read(cert) }),
    ...(key !== null && { key: read(key) }),
    ...(serverName !== null && { serverName }),
  });
  return { network, sasl: login };
}

const bad = (message: string, cause?: unknown): MillstreamError =>
  new MillstreamError('invalid', 'BAD_CONFIG', message, { cause });
