/**
 * Our server as a real child process, started the way a user starts it: as `npm start` does, with `start --config FILE`,
 * in a folder of its own under the system's temp dir, on ports that stay the same over restarts.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answersKafka } from './probe.ts';
import { cpuSeconds, ended, freePorts, peakResidentBytes, residentBytes, sleep } from './process.ts';
import type { KillableTarget } from './target.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

const binary = join(repository, 'bin/millstream.js');
/** The flags of its first line (`#!/usr/bin/env -S node FLAGS`), as whoever runs the command itself gets them. */
export const nodeFlags = (/^#!.* node (.+)/.exec(readFileSync(binary, 'utf8'))?.[1] ?? '')
  .split(' ')
  .filter(flag => flag !== '');

export interface MillstreamOptions {
  /** Config keys as they stand in millstream.toml, `section.key`; handed over as MILLSTREAM_<SECTION>_<KEY>. */
  config?: Record<string, string | number | boolean>;
  /** Text of the config file. Default: empty, so every key has its default. */
  toml?: string;
  /** Folder for the data; default: `data` in the server's own folder. */
  dataDir?: string;
  /** How long the first answer may take before start() fails. Default 20,000. */
  readyMs?: number;
  /** A module that the process loads before anything of ours, and the environment for it. */
  preload?: { path: string; env: Record<string, string> };
}

export class Millstream implements KillableTarget {
  readonly kind = 'millstream';
  /** Config file, pipelines, modules and data live here; removed by stop(). */
  readonly folder: string;
  readonly dataDir: string;
  readonly kafkaPort: number;
  readonly httpPort: number;
  startupMs = 0;
  /** What the process wrote to stdout and stderr since its last start. */
  output = '';
  /** Lines of level error that it logged, over all starts. */
  readonly errors: string[] = [];
  readonly #env: Record<string, string>;
  readonly #readyMs: number;
  readonly #preload: string[];
  #child: ChildProcess | undefined;

  private constructor(folder: string, kafkaPort: number, httpPort: number, options: MillstreamOptions) {
    this.folder = folder;
    this.dataDir = options.dataDir ?? join(folder, 'data');
    this.kafkaPort = kafkaPort;
    this.httpPort = httpPort;
    this.#readyMs = options.readyMs ?? 20_000;
    this.#preload = options.preload === undefined ? [] : ['--import', options.preload.path];
    const config: Record<string, string | number | boolean> = {
      'broker.data_dir': this.dataDir,
      'network.kafka_listen': `127.0.0.1:${kafkaPort}`,
      'network.http_listen': `127.0.0.1:${httpPort}`,
      ...options.config,
    };
    this.#env = Object.fromEntries(
      Object.entries(config).map(([key, value]) => [
        `MILLSTREAM_${key.replaceAll('.', '_').toUpperCase()}`,
        String(value),
      ]),
    );
    Object.assign(this.#env, options.preload?.env);
    mkdirSync(join(folder, 'pipelines'), { recursive: true });
    mkdirSync(join(folder, 'modules'), { recursive: true });
    writeFileSync(join(folder, 'millstream.toml'), options.toml ?? '');
  }

  /** Starts a server and waits until its Kafka listener answers. */
  static async start(options: MillstreamOptions = {}): Promise<Millstream> {
    const server = await Millstream.prepare(options);
    try {
      await server.restart();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** Everything but the process: for tests of a start that fails. */
  static async prepare(options: MillstreamOptions = {}): Promise<Millstream> {
    const [kafkaPort = 0, httpPort = 0] = await freePorts(2);
    return new Millstream(mkdtempSync(join(tmpdir(), 'millstream-')), kafkaPort, httpPort, options);
  }

  get bootstrap(): string {
    return `127.0.0.1:${this.kafkaPort}`;
  }

  get httpUrl(): string {
    return `http://127.0.0.1:${this.httpPort}`;
  }

  pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('the server is not running');
    return pid;
  }

  /** True while the process lives. */
  get alive(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts the process without waiting for it to answer. */
  spawn(): ChildProcess {
    if (this.alive) throw new Error('the server is running');
    this.output = '';
    const args = [...nodeFlags, ...this.#preload, binary, 'start', '--config', join(this.folder, 'millstream.toml')];
    const child = spawn(process.execPath, args, {
      cwd: this.folder,
      env: { ...process.env, ...this.#env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const keep = (chunk: Buffer): void => {
      for (const line of chunk.toString().split('\n')) if (/^[\d:.]{12} error /.test(line)) this.errors.push(line);
      this.output = (this.output + chunk.toString()).slice(-100_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    this.#child = child;
    return child;
  }

  /** Starts the process again on the same ports and data, and waits for its first answer. */
  async restart(): Promise<void> {
    const started = performance.now();
    const child = this.spawn();
    while (!(await answersKafka(this.kafkaPort))) {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`the server ended with ${child.exitCode ?? child.signalCode}:\n${this.output.slice(-4000)}`);
      }
      if (performance.now() - started > this.#readyMs) {
        throw new Error(`no answer within ${this.#readyMs} ms:\n${this.output.slice(-4000)}`);
      }
      await sleep(5);
    }
    this.startupMs = Math.round(performance.now() - started);
  }

  /** kill -9, and waits for the end of the process. */
  async kill9(): Promise<void> {
    if (this.#child === undefined) return;
    this.#child.kill('SIGKILL');
    await ended(this.#child);
  }

  /** SIGTERM; gives the exit code (or the signal when it had to be killed after `timeoutMs`). */
  async terminate(timeoutMs = 20_000): Promise<number | NodeJS.Signals | null> {
    const child = this.#child;
    if (child === undefined) return null;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    const code = await ended(child);
    clearTimeout(timer);
    return code;
  }

  async stop(): Promise<void> {
    if (this.alive) await this.terminate();
    rmSync(this.folder, { recursive: true, force: true });
  }

  residentBytes(): number {
    return residentBytes(this.pid());
  }

  peakResidentBytes(): number {
    return peakResidentBytes(this.pid());
  }

  cpuSeconds(): number {
    return cpuSeconds(this.pid());
  }
}
