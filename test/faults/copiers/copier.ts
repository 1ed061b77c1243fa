/** Transactional copiers of stock clients, each a process of its own that may be killed, stopped and doubled. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { JVM, QUIET } from '../../compat/clients/java.ts';
import { ended, eventually } from '../../servers/process.ts';
import { requireTool } from '../../servers/tools.ts';

export interface CopierJob {
  bootstrap: string;
  from: string;
  to: string;
  /** Transactional id and group. */
  id: string;
  partitions: number;
  transactionTimeoutMs: number;
}

export interface CopierKind {
  name: string;
  partitions: number;
  /** Its part of all kills: a JVM takes seconds to start. */
  share: number;
  command(job: CopierJob): [command: string, args: string[]];
}

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export function copierKinds(): CopierKind[] {
  const kinds: CopierKind[] = [
    {
      name: 'kafkajs',
      partitions: 2,
      share: 0.4,
      command: ({ bootstrap, from, to, id, partitions, transactionTimeoutMs }) => [
        process.execPath,
        [here('kafkajs.ts'), bootstrap, from, to, id, String(partitions), String(transactionTimeoutMs)],
      ],
    },
  ];
  const python = requireTool('confluent');
  if (python !== null) {
    kinds.push({
      name: 'confluent-kafka',
      partitions: 2,
      share: 0.4,
      command: ({ bootstrap, from, to, id, transactionTimeoutMs: timeout }) => [
        python,
        [here('../python/copier.py'), JSON.stringify({ bootstrap, from, to, id, timeout })],
      ],
    });
  }
  const classPath = requireTool('kafka');
  if (classPath !== null) kinds.push(javaKind(classPath));
  return kinds;
}

/** Apache Kafka's own, from its system tests. It ends by itself at what was the end of the input when it began. */
function javaKind(classPath: string): CopierKind {
  return {
    name: 'TransactionalMessageCopier',
    partitions: 1,
    share: 0.2,
    command: ({ bootstrap, from, to, id, transactionTimeoutMs }) => {
      const options = { 'input-topic': from, 'input-partition': 0, 'output-topic': to, 'broker-list': bootstrap };
      const own = { 'consumer-group': id, 'transactional-id': id, 'transaction-size': 5 };
      const all = { ...options, ...own, 'transaction-timeout': transactionTimeoutMs };
      const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)]);
      const program = 'org.apache.kafka.tools.TransactionalMessageCopier';
      return ['java', [...JVM, QUIET, '-cp', classPath, program, ...args, '--use-group-metadata']];
    },
  };
}

export class Copier {
  readonly #name: string;
  readonly #child: ChildProcess;
  #output = '';
  /** Transactions that it says it has committed. */
  committed = 0;

  constructor(kind: CopierKind, job: CopierJob) {
    const [command, args] = kind.command(job);
    this.#name = kind.name;
    this.#child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stderr?.on('data', (chunk: Buffer) => this.#keep(chunk.toString()));
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', line => {
      // Ours say "copied 5"; Kafka's prints its counters as JSON before every poll.
      const counter = /"totalProcessed":"?(\d+)/.exec(line)?.[1];
      if (line.startsWith('copied')) this.committed++;
      else if (counter !== undefined) this.committed = Number(counter);
      else this.#keep(`${line}\n`);
    });
  }

  #keep(text: string): void {
    this.#output = (this.#output + text).slice(-4000);
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** True once it has committed something in this life, false when it ended before. */
  working(): Promise<boolean> {
    const state = (): boolean | undefined => (this.committed > 0 ? true : this.alive ? undefined : false);
    return eventually(`a transaction of ${this.#name}`, state, 120_000);
  }

  signal(name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(name);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await ended(this.#child);
  }

  /** Waits until it ends by itself and says why. */
  async end(timeoutMs: number): Promise<'fenced' | 'done' | 'running' | 'failed'> {
    const timer = new Promise<'running'>(resolve => setTimeout(() => resolve('running'), timeoutMs));
    const code = await Promise.race([ended(this.#child), timer]);
    if (code === 'running') return code;
    if (code === 0) return 'done';
    return code === 3 || /claimed by another process|Fenced|InvalidProducerEpoch/.test(this.#output)
      ? 'fenced'
      : 'failed';
  }

  get output(): string {
    return this.#output;
  }
}
