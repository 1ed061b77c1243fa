/** Kills a server at chosen points and says where it really was when it died. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Millstream } from '../../servers/millstream.ts';
import type { KillOrder } from './killer.ts';
import {
  APPENDS,
  COMMITS,
  FIELDS,
  PHASE,
  RECOVERING,
  SERVING,
  SINK_WRITES,
  STARTING,
  TRAIL_VARIABLE,
} from './layout.ts';

export type Aim = 'any' | 'append' | 'commit' | 'recovery';

/** Where a process was when it died; several at a time. */
export interface Where {
  append: boolean;
  commit: boolean;
  recovery: boolean;
  sink: boolean;
  /** Before it had opened anything. */
  starting: boolean;
}

export class KillPoints {
  readonly #trail: string;
  readonly kills: { aim: Aim; where: Where }[] = [];

  /** `folder` must outlive the server. */
  constructor(folder: string) {
    this.#trail = join(folder, 'trail');
    this.reset();
  }

  /** For the server's options. */
  get preload(): { path: string; env: Record<string, string> } {
    return { path: fileURLToPath(new URL('hook.ts', import.meta.url)), env: { [TRAIL_VARIABLE]: this.#trail } };
  }

  /** Before every start: what the last process left is not the new one's. */
  reset(): void {
    writeFileSync(this.#trail, new Uint8Array(4 * FIELDS));
  }

  /** Kills the running server once it is where `aim` says, and `delayMs` further on. */
  async kill(server: Millstream, aim: Aim, delayMs: number): Promise<void> {
    if (aim === 'any') {
      await new Promise(resolve => setTimeout(resolve, delayMs));
    } else {
      const order: KillOrder = { pid: server.pid(), trail: this.#trail, want: aim, delayMs, patienceMs: 30_000 };
      const worker = new Worker(new URL('killer.ts', import.meta.url), { workerData: order, execArgv: [] });
      await new Promise<void>((resolve, reject) => worker.once('exit', () => resolve()).once('error', reject));
    }
    await server.kill9();
    const bytes = readFileSync(this.#trail);
    const fields = new Int32Array(bytes.buffer, bytes.byteOffset, FIELDS);
    const where: Where = {
      append: fields[PHASE] === SERVING && (fields[APPENDS] ?? 0) > 0,
      commit: fields[PHASE] === SERVING && (fields[COMMITS] ?? 0) > 0,
      recovery: fields[PHASE] === RECOVERING,
      sink: (fields[SINK_WRITES] ?? 0) > 0,
      starting: fields[PHASE] === STARTING,
    };
    this.kills.push({ aim, where });
  }

  /** Kills by what they aimed at (rows) and where they found the process (columns). */
  table(): Record<string, Record<string, number>> {
    const rows: Record<string, Record<string, number>> = {};
    for (const aim of ['any', 'append', 'commit', 'recovery', 'all']) {
      const kills = this.kills.filter(kill => aim === 'all' || kill.aim === aim).map(kill => kill.where);
      const count = (is: (where: Where) => boolean): number => kills.filter(is).length;
      rows[aim] = {
        kills: kills.length,
        'in an append': count(where => where.append),
        'in a commit': count(where => where.commit),
        'in recovery': count(where => where.recovery),
        'inside any': count(where => where.append || where.commit || where.recovery),
        'in a sink write': count(where => where.sink),
        'before recovery': count(where => where.starting),
      };
    }
    return rows;
  }
}
