import { z } from 'zod';
import type {
  PartitionWriter,
  Row,
  RowBatch,
  Sink,
  SinkCaps,
  SinkConnector,
  SinkPartition,
  WriteResult,
} from '../../connectors/runtime/contract.ts';

export type Mood = (batch: RowBatch, partition: number, signal: AbortSignal) => WriteResult | Promise<WriteResult>;

/** A sink connector that keeps what it is given, and does to the runtime whatever its mood says. */
export class HostileSink implements SinkConnector<Record<string, never>> {
  readonly type = 'hostile';
  readonly description = 'for tests';
  readonly config = z.strictObject({});
  /** Called for every write; throws, refuses, hangs. */
  mood: Mood = () => ({});
  onAcquire: (partition: SinkPartition) => void | Promise<void> = () => {};
  readonly acquired: SinkPartition[] = [];
  readonly closed: ('drain' | 'abandon')[] = [];
  /** Every call, successful or not. */
  readonly calls: { values: string[]; attempt: number; next: bigint; partition: number }[] = [];
  readonly written: string[] = [];
  writing = 0;
  mostWriting = 0;
  private readonly limits: SinkCaps;

  constructor(caps: Partial<SinkCaps> = {}) {
    this.limits = { guarantee: 'at-least-once', maxInFlight: 1, maxRows: 1000, maxBytes: 1e6, ...caps };
  }

  caps(): SinkCaps {
    return this.limits;
  }

  async open(): Promise<Sink> {
    return {
      acquire: async partition => {
        this.acquired.push(partition);
        await this.onAcquire(partition);
        return this.writer(partition);
      },
      close: async () => {},
    };
  }

  private writer({ partition }: SinkPartition): PartitionWriter {
    return {
      write: async (batch, signal) => {
        const values = valuesOf(batch.rows);
        this.calls.push({ values, attempt: batch.attempt, next: batch.next, partition });
        this.mostWriting = Math.max(this.mostWriting, ++this.writing);
        try {
          const result = await this.mood(batch, partition, signal);
          const refused = new Set(result.rejected?.map(({ row }) => row));
          this.written.push(...values.filter((_, i) => !refused.has(i)));
          return result;
        } finally {
          this.writing--;
        }
      },
      close: async how => void this.closed.push(how),
    };
  }
}

export const valuesOf = (rows: readonly Row[]): string[] =>
  rows.map(({ record }) => String(Buffer.from(record.value ?? [])));
