import type { AuthClient } from 'google-auth-library';
import { SinkError } from '../../runtime/sink-error.ts';
import type { BigQueryConfig } from '../config.ts';

/** Who we are to Google: headers for each request, renewed by google-auth-library before they run out. */

export interface Credentials {
  /** Kind `auth` when they are refused, `transient` when they cannot be asked for now. */
  headers(): Promise<ReadonlyMap<string, string>>;
  /** The last ones were refused: they may have been revoked before their time, and others are asked for. */
  refused(): void;
}

export const NOBODY: Credentials = { headers: async () => new Map(), refused: () => {} };

const SCOPES = ['https://www.googleapis.com/auth/bigquery'];
const CLOUD_SCOPE = 'https://www.googleapis.com/auth/cloud-platform';

export function googleCredentials(auth: BigQueryConfig['auth'], resolvePath: (path: string) => string): Credentials {
  let opening: Promise<AuthClient> | null = null;
  return {
    refused() {
      opening = null;
    },
    async headers() {
      try {
        opening ??= open(auth, resolvePath);
        const client = await opening;
        return new Map(await client.getRequestHeaders());
      } catch (thrown) {
        // A key file that comes later is found then.
        opening = null;
        throw authError(thrown);
      }
    },
  };
}

async function open(auth: BigQueryConfig['auth'], resolvePath: (path: string) => string): Promise<AuthClient> {
  const { Compute, GoogleAuth, Impersonated } = await import('google-auth-library');
  const scopes = auth.impersonate === undefined ? SCOPES : [CLOUD_SCOPE];
  const keyFile = auth.key_file === undefined ? undefined : resolvePath(auth.key_file);
  let client: AuthClient;
  switch (auth.method) {
    case 'metadata_server':
      client = new Compute({ scopes });
      break;
    case 'service_account': {
      const keyFilename = keyFile ?? process.env['GOOGLE_APPLICATION_CREDENTIALS'];
      if (!keyFilename) throw new Error('no key_file, and GOOGLE_APPLICATION_CREDENTIALS is not set');
      client = await new GoogleAuth({ scopes, keyFilename }).getClient();
      break;
    }
    case 'application_default':
      client = await new GoogleAuth({ scopes }).getClient();
      break;
  }
  if (auth.impersonate === undefined) return client;
  return new Impersonated({
    sourceClient: client,
    targetPrincipal: auth.impersonate,
    delegates: auth.delegates,
    targetScopes: SCOPES,
    lifetime: 3600,
  });
}

const UNREACHABLE = /ECONN|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|socket hang up|timeout/i;

function authError(thrown: unknown): SinkError {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const status = statusOf(thrown);
  const away = status >= 500 || (status === 0 && UNREACHABLE.test(message));
  const said = `no credentials: ${message}`;
  const cause = thrown;
  if (away) return new SinkError('transient', 'CREDENTIALS_UNREACHABLE', said, { cause });
  return new SinkError('auth', 'NO_CREDENTIALS', said, { cause, retryAfterMs: 5000 });
}

function statusOf(thrown: unknown): number {
  const response = (thrown as { response?: { status?: unknown } } | null)?.response;
  return typeof response?.status === 'number' ? response.status : 0;
}
