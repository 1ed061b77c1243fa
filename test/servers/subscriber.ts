/** `millstream bigquery-subscriber` as a real child process, driven by its environment alone, as in its container. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeFlags } from './millstream.ts';
import { ended, eventually, freePorts } from './process.ts';

const binary = fileURLToPath(new URL('../../bin/millstream.js', import.meta.url));

export class Subscriber {
  /** Where it runs; removed by `remove()`. */
  readonly folder: string;
  readonly url: string;
  /** What it wrote, over all starts. */
  output = '';
  private readonly env: Record<string, string>;
  private child: ChildProcess | undefined;

  private constructor(folder: string, port: number, env: Record<string, string>) {
    this.folder = folder;
    this.url = `http://127.0.0.1:${port}`;
    this.env = { ...env, MILLSTREAM_NETWORK_HTTP_LISTEN: `127.0.0.1:${port}` };
  }

  /** `toml`: its CONFIG_FILE; left out: it has none. */
  static async prepare(env: Record<string, string>, toml?: string): Promise<Subscriber> {
    const [port = 0] = await freePorts(1);
    const folder = mkdtempSync(join(tmpdir(), 'subscriber-'));
    if (toml === undefined) return new Subscriber(folder, port, env);
    const file = join(folder, 'subscriber.toml');
    writeFileSync(file, toml);
    return new Subscriber(folder, port, { ...env, CONFIG_FILE: file });
  }

  /** Starts it and waits until it says that it is there. */
  async start(): Promise<void> {
    this.spawn();
    const died = this.ended().then(how => {
      throw new Error(`the subscriber ended (${how}):\n${this.output}`);
    });
    const ready = eventually(
      'the subscriber',
      async () => (await fetch(`${this.url}/metrics`)).ok || undefined,
      60_000,
    );
    await Promise.race([ready, died]);
  }

  spawn(): void {
    const { PATH = '' } = process.env;
    this.child = spawn(process.execPath, [...nodeFlags, binary, 'bigquery-subscriber'], {
      cwd: this.folder,
      env: { PATH, NO_COLOR: '1', ...this.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
  }

  pid(): number {
    const pid = this.child?.pid;
    if (pid === undefined) throw new Error('the subscriber is not running');
    return pid;
  }

  /** Sends the signal and does not wait: SIGSTOP, SIGCONT, or a death at this very place of the test's own program. */
  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid(), signal);
  }

  /** Sends the signal and waits for the end: exit code, or the signal that ended it. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | NodeJS.Signals | null> {
    if (!this.child) return null;
    const end = ended(this.child);
    this.child.kill(signal);
    return end;
  }

  /** How the process ended by itself. */
  async ended(): Promise<number | NodeJS.Signals | null> {
    return this.child ? ended(this.child) : null;
  }

  async health(): Promise<{ code: number; body: Record<string, unknown> }> {
    const answer = await fetch(`${this.url}/health`);
    return { code: answer.status, body: (await answer.json()) as Record<string, unknown> };
  }

  async metrics(): Promise<Record<string, number>> {
    return (await (await fetch(`${this.url}/metrics`)).json()) as Record<string, number>;
  }

  async remove(): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
