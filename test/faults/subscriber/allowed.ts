import type { Wire } from '../../servers/wire.ts';
import { OUTPUT, PARTITIONS } from './orders.ts';
import { DATASET, type Sql } from './ways.ts';

/** First offset that a group has not committed, by partition; 0 where it has committed nothing. */
export async function positionsOf(wire: Wire, group: string): Promise<number[]> {
  const positions: number[] = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const { error, offset } = await wire.fetchOffset(group, OUTPUT, partition);
    if (error !== 0) throw new Error(`no position of ${group}: error ${error}`);
    positions.push(Math.max(0, offset));
  }
  return positions;
}

/** At least once: which ids may be in a table how many times more than once. */
export class Allowed {
  /** What it was asked to allow, for whoever looks for the reason of a failure. */
  readonly said: string[] = [];
  private readonly counts = new Map<string, number>();
  private readonly bigquery: Sql;
  private readonly table: string;

  constructor(bigquery: Sql, table: string) {
    this.bigquery = bigquery;
    this.table = table;
  }

  get(id: string): number | undefined {
    return this.counts.get(id);
  }

  /** Rows that are there now behind the committed positions of one who is gone may come once more. */
  async add(positions: readonly number[]): Promise<void> {
    const behind = positions
      .map((from, partition) => `log_partition = ${partition} AND log_offset >= ${from}`)
      .join(' OR ');
    const rows = await this.bigquery.sql(`SELECT DISTINCT id FROM ${DATASET}.${this.table} WHERE ${behind}`);
    this.said.push(`${rows.length} rows behind ${positions.join(' ')}`);
    for (const { id } of rows) this.counts.set(String(id), (this.counts.get(String(id)) ?? 0) + 1);
  }
}
