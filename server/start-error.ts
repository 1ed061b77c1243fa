import { MillstreamError } from '../core/base/errors.ts';

/** What the system says when a start fails, as a sentence that a person can act on; anything else as it is. */
export function asStartError(error: unknown): unknown {
  const { code, address, port, path } = error as NodeJS.ErrnoException & { address?: string; port?: number };
  const where = path ?? `${address}:${port}`;
  const found = SENTENCES[code ?? ''];
  if (!found) return error;
  return new MillstreamError(found.kind, found.code, found.say(where), { help: found.help, cause: error });
}

const DATA = 'Name another folder: [broker] data_dir in millstream.toml.';
const invalid = (code: string, say: (where: string) => string, help: string) =>
  ({ kind: 'invalid', code, say, help }) as const;
const noPermission = invalid('NO_PERMISSION', where => `no permission to use ${where}`, DATA);
const notAFolder = invalid('NOT_A_FOLDER', where => `${where} is not a folder`, DATA);

const SENTENCES: Record<
  string,
  { kind: 'invalid' | 'unavailable'; code: string; say: (where: string) => string; help: string } | undefined
> = {
  EADDRINUSE: invalid(
    'PORT_IN_USE',
    where => `another process listens on ${where}`,
    'Stop it, or choose another port: [network] kafka_listen and http_listen in millstream.toml (port 0 = any free one).',
  ),
  EADDRNOTAVAIL: invalid(
    'NO_SUCH_ADDRESS',
    where => `this machine has no address ${where}`,
    'Correct [network] kafka_listen and http_listen in millstream.toml.',
  ),
  EACCES: noPermission,
  EPERM: noPermission,
  EEXIST: notAFolder,
  ENOTDIR: notAFolder,
  EROFS: invalid('READ_ONLY', where => `${where} lies on a read-only disk`, DATA),
  ENOSPC: {
    kind: 'unavailable',
    code: 'DISK_FULL',
    say: where => `the disk is full (${where})`,
    help: 'Free some space, or name another folder: [broker] data_dir in millstream.toml.',
  },
};
