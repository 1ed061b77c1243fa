import { MillstreamError } from '../../core/base/errors.ts';
import type { Io } from './command.ts';

/**
 * The real process as a command sees it. A reader that goes away (`millstream consume t | head -1`) ends a command as
 * ctrl-c would; `outlivesReader` is for a server, which goes on without its screen.
 */
export function processIo(outlivesReader: boolean): Io {
  const { stdout, stderr } = process;
  const stopping = new AbortController();
  // SIGHUP: the terminal was closed.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // The second signal ends the process the usual way.
    process.once(name, () => stopping.abort(name));
  }
  let failed: NodeJS.ErrnoException | null = null;
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    failed = error;
    if (!outlivesReader) stopping.abort('output');
  });
  stderr.on('error', () => {});
  return {
    out: chunk => {
      if (!failed) stdout.write(chunk);
    },
    drained: async () => {
      if (!failed) await new Promise<void>(done => void stdout.write('', () => done()));
      if (!failed || failed.code === 'EPIPE' || outlivesReader) return;
      throw new MillstreamError('unavailable', 'OUTPUT_FAILED', `the output cannot be written: ${failed.message}`);
    },
    err: chunk => void stderr.write(chunk),
    env: process.env,
    cwd: process.cwd(),
    stdin: process.stdin,
    isTerminal: stdout.isTTY,
    signal: stopping.signal,
    leave: code => process.exit(code),
  };
}
