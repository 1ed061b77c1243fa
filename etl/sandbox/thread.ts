import type { Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { MillstreamError } from '../../core/base/errors.ts';
import { CELL_BYTES } from './cell.ts';
import type { Reply, WorkerMessage } from './messages.ts';
import type { WorkerData } from './worker.ts';

/** How far a worker's own queue may go; a slot stays far below, so piscina never holds a task back and never reorders. */
const MOST_IN_FLIGHT = 64;
// As this file is named: .ts among the sources, .js in the published package.
const WORKER_FILE = new URL(`./worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

/** One worker thread and the cell that it shares: a piscina pool of one, which is never revived but replaced. */
export class Thread {
  readonly cell: Int32Array;
  private readonly pool: Piscina;
  private dead = false;
  private lost = false;

  constructor(compileCache: string | null) {
    const shared = new SharedArrayBuffer(CELL_BYTES);
    this.cell = new Int32Array(shared);
    this.pool = new Piscina({
      filename: WORKER_FILE.href,
      minThreads: 1,
      maxThreads: 1,
      concurrentTasksPerWorker: MOST_IN_FLIGHT,
      idleTimeout: Infinity,
      recordTiming: false,
      workerData: { cell: shared } satisfies WorkerData,
      // Guests cannot see it, but what is not there cannot leak.
      env: compileCache === null ? {} : { NODE_COMPILE_CACHE: compileCache },
    });
    // Piscina starts another worker in its place, which knows of no lane and has not this cell's history.
    this.pool.on('workerDestroy', () => {
      this.lost = true;
    });
    // A worker that ends without a task: `isLost` says the same.
    this.pool.on('error', () => {});
  }

  /** The worker has ended by itself. */
  get isLost(): boolean {
    return this.lost;
  }

  run(message: WorkerMessage, transfer: ArrayBuffer[] = []): Promise<Reply> {
    return this.pool.run(message, { transferList: transfer }) as Promise<Reply>;
  }

  /** CPU time that the thread has used, in milliseconds; answers while a guest spins. */
  async cpuMs(): Promise<number> {
    const worker: Worker | undefined = this.pool.threads[0];
    if (!worker) throw new MillstreamError('closed', 'THREAD_GONE', 'the worker thread has ended');
    const { user, system } = await worker.cpuUsage();
    return (user + system) / 1000;
  }

  /** Ends the thread whatever it is doing; its tasks reject. */
  async destroy(): Promise<void> {
    if (this.dead) return;
    this.dead = true;
    await this.pool.destroy();
  }
}
