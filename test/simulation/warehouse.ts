import { z } from 'zod';
import type { Random } from '../../core/base/random.ts';
import type {
  PartitionWriter,
  RowBatch,
  SinkConnector,
  SinkPartition,
  WriteResult,
} from '../../connectors/runtime/contract.ts';
import { SinkError } from '../../connectors/runtime/sink-error.ts';
import { isTaken } from './checker/model.ts';
import type { Life } from './life.ts';

/**
 * A system elsewhere, whose data no power cut here touches: streams of rows that are appended at a given row number, as
 * BigQuery's Storage Write API takes them. A number below the end means that the rows are there already; one above it is
 * refused. Answers get lost; a request that a dead process has sent may still arrive.
 */
export class Warehouse {
  readonly streams = new Map<string, string[]>();

  append(stream: string, at: number, rows: readonly string[]): void {
    let own = this.streams.get(stream);
    if (!own) this.streams.set(stream, (own = []));
    if (at > own.length) throw new SinkError('transient', 'OUT_OF_RANGE', `row ${at} behind ${own.length}`);
    const known = own.slice(at, at + rows.length);
    if (known.some((row, i) => row !== rows[i])) {
      throw new Error(`stream ${stream} has ${known.join()} at ${at}, now ${rows.join()} is to be there`);
    }
    own.push(...rows.slice(known.length));
  }
}

export interface WarehouseCounts {
  lostAnswers: number;
  refused: number;
}

/** Exactly once: the state is the number of rows that the stream has at the position. */
export function warehouseSink(
  warehouse: Warehouse,
  life: Life,
  random: Random,
  counts: WarehouseCounts,
  failed: (error: unknown) => void,
): SinkConnector {
  return {
    type: 'warehouse',
    description: 'a system elsewhere',
    config: z.unknown(),
    caps: () => ({ guarantee: 'exactly-once', maxInFlight: 2, maxRows: 1000, maxBytes: 1e6 }),
    open: async () => ({
      acquire: async partition => new Writer(warehouse, life, random, counts, failed, partition),
      close: async () => {},
    }),
  };
}

class Writer implements PartitionWriter {
  private readonly warehouse: Warehouse;
  private readonly life: Life;
  private readonly random: Random;
  private readonly counts: WarehouseCounts;
  private readonly failed: (error: unknown) => void;
  private readonly stream: string;
  private next: number;
  /** Row numbers that batches got at their first try, by the offset of their first row. */
  private readonly places = new Map<number, number>();

  constructor(
    warehouse: Warehouse,
    life: Life,
    random: Random,
    counts: WarehouseCounts,
    failed: (error: unknown) => void,
    { topic, partition, state }: SinkPartition,
  ) {
    this.warehouse = warehouse;
    this.life = life;
    this.random = random;
    this.counts = counts;
    this.failed = failed;
    this.stream = `${topic}-${partition}`;
    this.next = Number(state ?? 0);
  }

  async write({ rows }: RowBatch): Promise<WriteResult> {
    const values = rows.map(({ record }) => Buffer.from(record.value ?? []).toString());
    const taken = values.filter(isTaken);
    const first = rows[0]?.record.offset ?? -1;
    let place = this.places.get(first);
    if (place === undefined) {
      this.places.set(first, (place = this.next));
      this.next += taken.length;
    }
    await this.life.turns(Math.floor(this.random.float() * 6));
    if (this.life.isOver && this.random.float() < 0.5) await this.life.unlessOver();
    if (this.random.float() < 0.03) throw new SinkError('throttled', 'BUSY', 'not now');
    try {
      this.warehouse.append(this.stream, place, taken);
    } catch (error) {
      if (!(error instanceof SinkError)) this.failed(error);
      throw error;
    }
    await this.life.turns(Math.floor(this.random.float() * 6));
    await this.life.unlessOver();
    if (this.random.float() < 0.08) {
      this.counts.lostAnswers++;
      throw new SinkError('transient', 'LOST_ANSWER', 'the answer got lost');
    }
    const rejected = values.flatMap((value, row) =>
      isTaken(value) ? [] : [{ row, code: 'UNWANTED', reason: 'it begins with x' }],
    );
    this.counts.refused += rejected.length;
    return { rejected, state: String(place + taken.length) };
  }

  async close(): Promise<void> {}
}
