/** Child processes of tests and benchmarks: run one to its end, read what a running one costs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

export interface Ran {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: Buffer;
  stderr: string;
  seconds: number;
}

export interface RunOptions {
  stdin?: Buffer | string;
  env?: Record<string, string>;
  cwd?: string;
  /** After this time the child is killed and the result has signal SIGKILL. Default 60,000. */
  timeoutMs?: number;
}

/** Runs a command to its end and gives its output; does not throw on a non-zero exit. */
export function run(command: string, args: string[], options: RunOptions = {}): Promise<Ran> {
  const started = performance.now();
  const child = spawn(command, args, {
    env: { ...process.env, ...options.env },
    cwd: options.cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const stdout: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  // A child that ends before it has read its input is judged by its exit code.
  child.stdin.on('error', () => {});
  child.stdin.end(options.stdin ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout: Buffer.concat(stdout), stderr, seconds: (performance.now() - started) / 1000 });
    });
  });
}

/** As run, but anything other than exit code 0 is an error that carries the end of the output. */
export async function runOk(command: string, args: string[], options: RunOptions = {}): Promise<Ran> {
  const ran = await run(command, args, options);
  if (ran.code !== 0) {
    const tail = `${ran.stderr}\n${ran.stdout.toString()}`.slice(-2000);
    throw new Error(`${command} ${args.join(' ').slice(0, 200)}: exit ${ran.code ?? ran.signal}\n${tail}`);
  }
  return ran;
}

/** Resolves when the child has ended, with its exit code or signal. */
export function ended(child: ChildProcess): Promise<number | NodeJS.Signals | null> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode);
  if (child.signalCode !== null) return Promise.resolve(child.signalCode);
  return new Promise(resolve => child.once('exit', (code, signal) => resolve(code ?? signal)));
}

/** Resident memory now, in bytes. 0 where there is no /proc or no such process. */
export function residentBytes(pid: number): number {
  return statusBytes(pid, 'VmRSS');
}

/** The most resident memory that the process ever had, in bytes. */
export function peakResidentBytes(pid: number): number {
  return statusBytes(pid, 'VmHWM');
}

function statusBytes(pid: number, field: string): number {
  try {
    const line = readFileSync(`/proc/${pid}/status`, 'utf8')
      .split('\n')
      .find(l => l.startsWith(`${field}:`));
    return line === undefined ? 0 : Number(line.replace(/\D/g, '')) * 1024;
  } catch {
    return 0;
  }
}

/** User + system CPU seconds used so far, all threads. /proc counts in ticks of 10 ms. */
export function cpuSeconds(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return 0;
  }
}

/** `count` different ports of 127.0.0.1 that were free a moment ago. For servers that must come back on the same port. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(0, '127.0.0.1', resolve);
      });
      return server;
    }),
  );
  const ports = servers.map(server => {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return address.port;
  });
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  return ports;
}

export const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

/** Tries until `check` gives something other than undefined; the last error, or `what`, after `timeoutMs`. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 20_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await check();
      if (value !== undefined) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: last });
    await sleep(20);
  }
}
