import { MillstreamError } from '../core/base/errors.ts';

/*
 * The system's errors at start as sentences that a person can act on, each naming the key of millstream.toml to change.
 */

const LISTEN: Readonly<Record<string, (where: string) => string>> = {
  EADDRINUSE: where => `another process listens on ${where}`,
  EACCES: where => `no permission to listen on ${where}: ports below 1024 are the system's`,
  EPERM: where => `no permission to listen on ${where}`,
  EADDRNOTAVAIL: where => `this machine has no address ${where}`,
  EAFNOSUPPORT: where => `this machine cannot listen on ${where}`,
  ENOTFOUND: where => `the host name of ${where} is not known here`,
  EAI_AGAIN: where => `the host name of ${where} cannot be looked up now`,
};

/** `thrown` by a listener on `address`, which `key` gives: the system's error, or one of ours with it as the cause. */
export function asListenError(thrown: unknown, key: 'kafka_listen' | 'http_listen', address: string): unknown {
  const code = codeOf(thrown instanceof MillstreamError ? thrown.cause : thrown);
  const say = LISTEN[code];
  if (!say) return thrown;
  const inUse = code === 'EADDRINUSE';
  return new MillstreamError('unavailable', inUse ? 'PORT_IN_USE' : 'LISTEN_FAILED', say(address), {
    help: `${inUse ? 'Stop it, or choose another port' : 'Choose another address'}: [network] ${key} in millstream.toml (port 0 = any free one).`,
    cause: thrown,
  });
}

interface Sentence {
  kind: 'invalid' | 'unavailable';
  code: string;
  say: (where: string) => string;
  help: string;
}

const DATA = 'Name another folder: [broker] data_dir in millstream.toml.';
const invalid = (code: string, say: Sentence['say']): Sentence => ({ kind: 'invalid', code, say, help: DATA });
const noPermission = invalid('NO_PERMISSION', where => `no permission to use ${where}`);
const notAFolder = invalid('NOT_A_FOLDER', where => `${where} is not a folder`);
const diskFull: Sentence = {
  kind: 'unavailable',
  code: 'DISK_FULL',
  say: where => `the disk is full (${where})`,
  help: 'Free some space, or name another folder: [broker] data_dir in millstream.toml.',
};
const tooManyFiles: Sentence = {
  kind: 'unavailable',
  code: 'TOO_MANY_FILES',
  say: () => 'the system allows this process no more open files',
  help: 'Raise the limit (`ulimit -n`) and start again.',
};

const FILES: Readonly<Record<string, Sentence>> = {
  EACCES: noPermission,
  EPERM: noPermission,
  EEXIST: notAFolder,
  ENOTDIR: notAFolder,
  EROFS: invalid('READ_ONLY', where => `${where} lies on a read-only disk`),
  ENOSPC: diskFull,
  EDQUOT: diskFull,
  EMFILE: tooManyFiles,
  ENFILE: tooManyFiles,
};

/** What the system says when the data cannot be opened, as a sentence; anything else as it is. */
export function asStartError(thrown: unknown): unknown {
  const found = FILES[codeOf(thrown)];
  if (!found) return thrown;
  const { path = 'the data folder' } = thrown as { path?: string };
  return new MillstreamError(found.kind, found.code, found.say(path), { help: found.help, cause: thrown });
}

function codeOf(thrown: unknown): string {
  const code = (thrown as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : '';
}
