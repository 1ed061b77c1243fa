import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { silentLogger } from '../../core/base/logger.ts';
import { main } from '../../server/cli/main.ts';
import { compose, type Millstream } from '../../server/compose.ts';
import { requireSettings } from '../../server/settings.ts';

/** A project folder with the whole server in this process, on free ports. */
export interface Project {
  folder: string;
  server: Millstream & NonNullable<Millstream['embedded']>;
  url: string;
  write(path: string, text: string): void;
  /** Stops the server cleanly and starts it again on the same folder. */
  restart(): Promise<void>;
  /** Runs a command as a user in the folder would. */
  run(args: string[], input?: string | Uint8Array): Promise<Ran>;
  close(): Promise<void>;
}

export async function startProject(files: Record<string, string> = {}): Promise<Project> {
  const folder = mkdtempSync(join(tmpdir(), 'millstream-server-'));
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  write('millstream.toml', '[network]\nkafka_listen = "127.0.0.1:0"\nhttp_listen = "127.0.0.1:0"\n');
  for (const [path, text] of Object.entries(files)) write(path, text);
  const start = async (): Promise<Project['server']> => {
    const server = await compose(requireSettings(undefined, {}, folder), '0.0.0-test', silentLogger);
    await server.pipelinesStarted;
    if (!server.embedded) throw new Error('the topics of the project live elsewhere');
    return { ...server, ...server.embedded };
  };
  const project: Project = {
    folder,
    server: await start(),
    get url() {
      return `http://127.0.0.1:${this.server.http.port}`;
    },
    write,
    async restart() {
      await this.server.stop();
      this.server = await start();
    },
    run(args, input = '') {
      return runCommand(args, { cwd: folder, input });
    },
    async close() {
      await this.server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return project;
}

export interface Ran {
  code: number;
  out: string;
  err: string;
}

export async function runCommand(
  args: string[],
  options: {
    cwd: string;
    input?: string | Uint8Array;
    env?: Record<string, string>;
    signal?: AbortSignal;
    /** Sees every piece of output as it is written. */
    onOut?: (bytes: Buffer) => void;
  },
): Promise<Ran> {
  const out: Buffer[] = [];
  let err = '';
  const code = await main(args, {
    out: chunk => {
      out.push(Buffer.from(chunk));
      options.onOut?.(Buffer.from(chunk));
    },
    drained: async () => {},
    err: text => void (err += text),
    env: options.env ?? {},
    cwd: options.cwd,
    stdin: Readable.from([Buffer.from(options.input ?? '')]),
    isTerminal: false,
    signal: options.signal ?? new AbortController().signal,
    leave: () => {
      throw new Error('a command wants to end the process');
    },
  });
  return { code, out: Buffer.concat(out).toString(), err };
}

/** Asks until the answer is right; the test's own time limit ends it. */
export async function until<T>(ask: () => Promise<T> | T, right: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (right(answer)) return answer;
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}
