import { sleep } from '../../../core/base/clock.ts';
import type { PartitionWriter, Reject, RowBatch, SinkPartition, WriteResult } from '../../runtime/contract.ts';
import { SinkError } from '../../runtime/sink-error.ts';
import { WriteError } from '../api/grpc-errors.ts';
import { Appender, outcomeOf, partsOf, REQUEST_BYTES } from './appender.ts';
import type { WriterSettings } from './settings.ts';

/*
 * Atomic batches, exactly once, one at a time (maxInFlight is 1). Each batch fills a PENDING stream of its own and finalizes it; the position is committed
 * with the stream's name in the state; only then are the rows made visible. After a crash the state names what is still
 * to be made visible, and doing it twice does nothing. Streams that no state names never show their rows.
 *
 * State: {"t": the table's time of creation, "p": streams of batches below the position that may not be visible yet,
 * "n": the position}.
 */
interface PendingState {
  t: string;
  p: string[];
  n: number;
}

export async function acquirePending(settings: WriterSettings, partition: SinkPartition): Promise<PartitionWriter> {
  const writer = new PendingWriter(settings, partition);
  if (partition.state !== null) {
    const { t, p } = JSON.parse(partition.state) as PendingState;
    await writer.recover(t, p);
  }
  return writer;
}

/** How long a failed step towards visibility waits before it is tried again. */
const AGAIN_MS = 1000;

class PendingWriter implements PartitionWriter {
  private readonly settings: WriterSettings;
  private readonly leads: boolean;
  private readonly partition: SinkPartition;
  /** Streams whose rows are not visible yet, those of acknowledged writes, in order. */
  private invisible: string[] = [];
  /** What is committed and has to become visible. */
  private due: string[] = [];
  private showing: Promise<void> | null = null;
  private trouble: Error | null = null;
  private readonly closed = new AbortController();
  private states: { text: string; streams: string[] }[] = [];
  /** The last write that was acknowledged: asked for again, it is not done again. */
  private last: { rows: RowBatch['rows']; result: WriteResult } | null = null;

  constructor(settings: WriterSettings, partition: SinkPartition) {
    this.settings = settings;
    this.partition = partition;
    this.leads = partition.partition === 0;
  }

  async recover(table: string, streams: readonly string[]): Promise<void> {
    if (streams.length === 0) return;
    try {
      await this.settings.storage.commit(streams);
    } catch (error) {
      if (!isMissing(error)) throw error;
      const { id } = await this.settings.guide.fresh();
      // A table that was made anew: the rows went with the old one.
      if (id !== table) return;
      const { topic, partition } = this.partition;
      const message = `rows of ${topic}/${partition} are in a pending stream that BigQuery does not know any more`;
      throw new SinkError('fatal', 'STREAM_LOST', message, { cause: error });
    }
  }

  async write(batch: RowBatch, signal: AbortSignal): Promise<WriteResult> {
    if (this.trouble) throw this.trouble;
    if (this.last?.rows === batch.rows) return this.last.result;
    const { stream, rejected, table } = await this.fill(batch);
    if (signal.aborted) throw new SinkError('fenced', 'LEASE_LOST', 'the partition went to another owner');
    if (stream !== null) this.invisible.push(stream);
    const state: PendingState = { t: table, p: [...this.invisible], n: Number(batch.next) };
    const text = JSON.stringify(state);
    this.states.push({ text, streams: state.p });
    const result = rejected.length > 0 ? { rejected, state: text } : { state: text };
    this.last = { rows: batch.rows, result };
    return result;
  }

  committed(state?: string): void {
    const at = this.states.findIndex(({ text }) => text === state);
    if (at === -1) return;
    this.due = this.states[at]?.streams ?? [];
    this.states = this.states.slice(at + 1);
    this.showing ??= this.show().finally(() => {
      this.showing = null;
    });
  }

  async close(how: 'drain' | 'abandon'): Promise<void> {
    if (how === 'drain' && this.showing) {
      const patience = new AbortController();
      const timer = sleep(this.settings.clock, 5000, patience.signal);
      await Promise.race([this.showing, timer]);
      patience.abort();
    }
    this.closed.abort();
  }

  /** Makes what is due visible, again and again while BigQuery refuses. */
  private async show(): Promise<void> {
    while (this.due.length > 0 && !this.closed.signal.aborted) {
      const streams = this.due.filter(stream => this.invisible.includes(stream));
      try {
        if (streams.length > 0) await this.settings.storage.commit(streams);
        this.trouble = null;
        this.invisible = this.invisible.filter(stream => !streams.includes(stream));
        this.due = this.due.filter(stream => !streams.includes(stream) && this.invisible.includes(stream));
      } catch (thrown) {
        this.trouble = thrown instanceof Error ? thrown : new Error(String(thrown));
        if (isMissing(thrown))
          this.trouble = new SinkError('fenced', 'TABLE_GONE', 'the table is not the same any more');
        await sleep(this.settings.clock, AGAIN_MS, this.closed.signal);
      }
    }
  }

  private async fill({ rows }: RowBatch): Promise<{ stream: string | null; rejected: Reject[]; table: string }> {
    const { storage, shaper, encoders, guide, traceId } = this.settings;
    const { table, made, places, rejected } = await shaper.shape(rows, this.leads, encoders.encodeFor);
    if (made.length === 0) return { stream: null, rejected, table: table.id };
    const stream = await storage.create('PENDING');
    const appender = new Appender(storage, stream, traceId);
    try {
      let kept = made;
      let at = places;
      for (let offset = 0; kept.length > 0; ) {
        const [, end] = partsOf(kept, REQUEST_BYTES)[0] as [number, number];
        const answer = appender.send(kept.slice(0, end), encoders.of(table), offset);
        const { error, refused } = await outcomeOf(answer);
        if (refused.length > 0) {
          const bad = new Map(refused.map(({ index, message }) => [index, message]));
          for (const [index, reason] of bad) rejected.push({ row: at[index] as number, code: 'INVALID', reason });
          kept = kept.filter((_, index) => !bad.has(index));
          at = at.filter((_, index) => !bad.has(index));
          continue;
        }
        if (error) {
          // The next try asks for the schema that BigQuery has.
          if (error instanceof WriteError && error.storage === 'SCHEMA_MISMATCH_EXTRA_FIELDS') await guide.fresh();
          throw error;
        }
        offset += end;
        kept = kept.slice(end);
        at = at.slice(end);
      }
    } finally {
      appender.destroy();
    }
    const count = made.length - rejected.filter(({ row }) => places.includes(row)).length;
    if (count === 0) return { stream: null, rejected, table: table.id };
    const stored = await storage.finalize(stream);
    if (stored === count) return { stream, rejected, table: table.id };
    throw new SinkError('transient', 'ROW_COUNT_DIFFERS', `the stream has ${stored} rows instead of ${count}`);
  }
}

const isMissing = (error: unknown): boolean =>
  error instanceof WriteError &&
  (error.grpcCode === 5 || error.storage === 'STREAM_NOT_FOUND' || error.storage === 'TABLE_NOT_FOUND');
