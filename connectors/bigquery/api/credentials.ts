import type { AuthClient } from 'google-auth-library';
import type { BigQueryConfig } from '../config.ts';
import { isFinal, refusal } from './token-refusal.ts';

/** Who we are to Google: headers for each request, renewed by google-auth-library before they run out. */

export interface Credentials {
  /** SinkError of kind `auth` when they are refused, `transient` when they cannot be asked for now. */
  headers(): Promise<ReadonlyMap<string, string>>;
  /** The last ones were refused: they may have been revoked before their time, and others are asked for. */
  refused(): void;
}

export const NOBODY: Credentials = { headers: async () => new Map(), refused: () => {} };

const SCOPES = ['https://www.googleapis.com/auth/bigquery'];
const CLOUD_SCOPE = 'https://www.googleapis.com/auth/cloud-platform';

/** What credentials need of the world. */
export interface CredentialSources {
  /** Of a path in the configuration. */
  resolvePath: (path: string) => string;
  /** Throws the system's error. */
  readText: (path: string) => Promise<string>;
  env: Readonly<Record<string, string | undefined>>;
}

export function googleCredentials(auth: BigQueryConfig['auth'], sources: CredentialSources): Credentials {
  let opening: Promise<AuthClient> | null = null;
  return {
    refused() {
      opening = null;
    },
    async headers() {
      try {
        opening ??= open(auth, sources);
        const client = await opening;
        return new Map(await client.getRequestHeaders());
      } catch (thrown) {
        // A key file that comes later, or another one, is found then.
        if (isFinal(thrown)) opening = null;
        throw refusal(thrown, auth);
      }
    },
  };
}

async function open(auth: BigQueryConfig['auth'], sources: CredentialSources): Promise<AuthClient> {
  const { Impersonated } = await import('google-auth-library');
  const { impersonate: targetPrincipal, delegates } = auth;
  const sourceClient = await openOwn(auth, sources, targetPrincipal === undefined ? SCOPES : [CLOUD_SCOPE]);
  if (targetPrincipal === undefined) return sourceClient;
  return withoutWarning(
    () => new Impersonated({ sourceClient, targetPrincipal, delegates, targetScopes: SCOPES, lifetime: 3600 }),
  );
}

/** Ours, before we act as anybody else. */
async function openOwn(
  auth: BigQueryConfig['auth'],
  { resolvePath, readText, env }: CredentialSources,
  scopes: string[],
): Promise<AuthClient> {
  const { Compute, GoogleAuth, JWT } = await import('google-auth-library');
  switch (auth.method) {
    case 'metadata_server':
      return new Compute({ scopes });
    case 'application_default':
      return new GoogleAuth({ scopes }).getClient();
    case 'service_account': {
      const path = auth.key_file === undefined ? env['GOOGLE_APPLICATION_CREDENTIALS'] : resolvePath(auth.key_file);
      if (!path) throw new Error('there is no key_file, and GOOGLE_APPLICATION_CREDENTIALS is not set');
      const { email, key, keyId } = parseKey(path, await readText(path));
      return new JWT({ email, key, keyId, scopes });
    }
  }
}

/** https://cloud.google.com/iam/docs/keys-create-delete: a JSON object with type, client_email, private_key, ... */
function parseKey(path: string, text: string): { email: string; key: string; keyId: string } {
  let json: Partial<Record<'type' | 'client_email' | 'private_key' | 'private_key_id', unknown>> | null;
  try {
    json = JSON.parse(text) as typeof json;
  } catch {
    throw new Error(`${path} is not JSON`);
  }
  const { type, client_email: email, private_key: key, private_key_id: keyId } = json ?? {};
  if (type !== 'service_account' || typeof email !== 'string' || typeof key !== 'string') {
    const is = typeof type === 'string' ? `of type ${type}, ` : '';
    throw new Error(`${path} is ${is}not the key of a service account; method = "application_default" takes others`);
  }
  return { email, key, keyId: typeof keyId === 'string' ? keyId : '' };
}

/** The library warns everybody who builds one of files that are somebody else's; ours is not made of a file. */
function withoutWarning<T>(build: () => T): T {
  const { warn } = console;
  const set = (to: typeof warn): void => {
    // oxlint-disable-next-line no-console -- nothing else turns the library's warning off
    console.warn = to;
  };
  set(() => {});
  try {
    return build();
  } finally {
    set(warn);
  }
}
