import { type Clock, sleep } from '../../../core/base/clock.ts';
import { WriteError } from '../api/grpc-errors.ts';
import type { Storage } from '../api/storage.ts';

/** Makes rows of a BUFFERED stream visible behind the committed position, again and again while BigQuery refuses. */

const FROM_MS = 500;
const TO_MS = 30_000;
/** How long a stop waits for rows that are committed and not visible yet; the next owner shows them otherwise. */
const FINISH_MS = 5000;

export class Flusher {
  /** Why the last try failed; null when all is well. */
  trouble: Error | null = null;
  private readonly storage: Storage;
  private readonly stream: string;
  private readonly clock: Clock;
  private readonly closed = new AbortController();
  private wanted = 0;
  private shown = 0;
  private running: Promise<void> | null = null;

  constructor(storage: Storage, stream: string, clock: Clock) {
    this.storage = storage;
    this.stream = stream;
    this.clock = clock;
  }

  /** The first `rows` rows are committed. */
  upTo(rows: number): void {
    this.wanted = Math.max(this.wanted, rows);
    this.running ??= this.run().finally(() => {
      this.running = null;
    });
  }

  /** True when everything wanted is visible. */
  async finish(): Promise<boolean> {
    const patience = new AbortController();
    await Promise.race([this.running, sleep(this.clock, FINISH_MS, patience.signal)]);
    patience.abort();
    this.close();
    return this.shown >= this.wanted;
  }

  close(): void {
    this.closed.abort();
  }

  private async run(): Promise<void> {
    for (let wait = FROM_MS; this.shown < this.wanted && !this.closed.signal.aborted; ) {
      const upTo = this.wanted;
      try {
        await this.storage.flush(this.stream, upTo - 1);
        this.shown = upTo;
        this.trouble = null;
        wait = FROM_MS;
      } catch (thrown) {
        this.trouble = thrown instanceof Error ? thrown : new Error(String(thrown));
        // A new owner has it: it shows the rows before it ends the stream.
        if (thrown instanceof WriteError && thrown.sinkKind === 'fenced') return;
        await sleep(this.clock, wait, this.closed.signal);
        wait = Math.min(TO_MS, wait * 2);
      }
    }
  }
}
