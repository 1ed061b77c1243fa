import type { PartitionWriter, Reject, RowBatch, WriteResult } from '../../runtime/contract.ts';
import { WriteError } from '../api/grpc-errors.ts';
import { Appender, type Outcome, outcomeOf, partsOf, REQUEST_BYTES } from './appender.ts';
import type { WriterSettings } from './settings.ts';

/** Rows for the table's default stream: at least once, visible at once, no offsets. */
export class DefaultWriter implements PartitionWriter {
  private readonly settings: WriterSettings;
  private readonly appender: Appender;
  private readonly leads: boolean;

  constructor(settings: WriterSettings, partition: number) {
    this.settings = settings;
    this.leads = partition === 0;
    this.appender = new Appender(settings.storage, '_default', settings.traceId);
    this.appender.schemaChanged = () => void settings.guide.fresh().catch(() => {});
  }

  async write({ rows }: RowBatch): Promise<WriteResult> {
    const { shaper, encoders, guide } = this.settings;
    for (;;) {
      const { table, made, places, rejected } = await shaper.shape(rows, this.leads, encoders.encodeFor);
      const encoder = encoders.of(table);
      const send = (from: number, to: number): Promise<Outcome> =>
        outcomeOf(this.appender.send(made.slice(from, to), encoder, null));
      const parts = partsOf(made, REQUEST_BYTES).map(([from, to]) => ({ from, to, outcome: send(from, to) }));
      let stale = false;
      for (const { from, to, outcome } of parts) {
        const { error, refused } = await outcome;
        if (refused.length > 0) await this.withoutRefused(refused, from, to, places, rejected, send);
        else if (error instanceof WriteError && error.storage === 'SCHEMA_MISMATCH_EXTRA_FIELDS') {
          if ((await guide.fresh()) === table) throw error;
          stale = true;
        } else if (error) throw error;
      }
      if (!stale) return rejected.length > 0 ? { rejected } : {};
    }
  }

  async close(how: 'drain' | 'abandon'): Promise<void> {
    if (how === 'drain') this.appender.finish();
    else this.appender.destroy();
  }

  /** The rows of a refused request again, without those at fault, until it is taken. */
  private async withoutRefused(
    refused: Outcome['refused'],
    from: number,
    to: number,
    places: readonly number[],
    rejected: Reject[],
    send: (from: number, to: number) => Promise<Outcome>,
  ): Promise<void> {
    const bad = new Map(refused.map(({ index, message }) => [from + index, message]));
    for (const [at, reason] of bad) rejected.push({ row: places[at] as number, code: 'INVALID', reason });
    let start = from;
    for (const at of [...[...bad.keys()].toSorted((a, b) => a - b), to]) {
      if (at > start) {
        const again = await send(start, at);
        if (again.refused.length > 0) await this.withoutRefused(again.refused, start, at, places, rejected, send);
        else if (again.error) throw again.error;
      }
      start = at + 1;
    }
  }
}
