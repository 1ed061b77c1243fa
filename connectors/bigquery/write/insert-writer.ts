import type { PartitionWriter, Reject, Row, RowBatch, SinkPartition, WriteResult } from '../../runtime/contract.ts';
import { SinkError } from '../../runtime/sink-error.ts';
import { type InsertError, insertAll } from '../api/insert-all.ts';
import { codeOf, RestError } from '../api/rest-errors.ts';
import type { Rest } from '../api/rest.ts';
import { jsonRow, type JsonOptions } from '../encode/json-encoder.ts';
import type { Fields } from '../encode/names.ts';
import type { KnownTable, TableGuide } from '../table/guide.ts';
import type { Shaper } from './shaper.ts';

/*
 * Streaming inserts: at least once. Each row has an insert id made of its place in the log, so that BigQuery drops most
 * of what is sent twice within about a minute. Only rows that are themselves at fault are refused: those that BigQuery
 * calls "stopped" went down with another row of their request and are sent again.
 */

/** A request may have 10 MB and 50,000 rows; 9 MB leave room for what JSON adds. */
const REQUEST_BYTES = 9_000_000;
const REQUEST_ROWS = 50_000;

export interface InsertSettings {
  rest: Rest;
  shaper: Shaper;
  guide: TableGuide;
  json: JsonOptions;
  dataset: string;
  table: string;
  skipInvalidRows: boolean;
}

/** How far a batch has come: what BigQuery took is not sent again with the rest. */
interface Progress {
  done: Set<number>;
  rejected: Reject[];
}

interface Part {
  rows: string[];
  places: number[];
}

export class InsertWriter implements PartitionWriter {
  private readonly settings: InsertSettings;
  private readonly partition: SinkPartition;
  private readonly progress = new WeakMap<readonly Row[], Progress>();

  constructor(settings: InsertSettings, partition: SinkPartition) {
    this.settings = settings;
    this.partition = partition;
  }

  async write({ rows }: RowBatch, signal: AbortSignal): Promise<WriteResult> {
    const { shaper } = this.settings;
    const progress = this.progress.get(rows) ?? { done: new Set(), rejected: [] };
    this.progress.set(rows, progress);
    const left = rows.map((_, i) => i).filter(i => !progress.done.has(i));
    const shaped = await shaper.shape(
      left.map(i => rows[i] as Row),
      this.partition.partition === 0,
      table => this.encoder(table),
    );
    for (const reject of shaped.rejected) refuse(progress, { ...reject, row: left[reject.row] as number });
    const places = shaped.places.map(i => left[i] as number);
    const texts = shaped.made.map((json, i) => {
      const id = this.insertId(rows[places[i] as number] as Row);
      return `{"insertId":${JSON.stringify(id)},"json":${json}}`;
    });
    const parts = cut({ rows: texts, places }).map(part => this.insert(part, progress, signal));
    for (const outcome of await Promise.allSettled(parts)) if (outcome.status === 'rejected') throw outcome.reason;
    this.progress.delete(rows);
    return progress.rejected.length > 0 ? { rejected: progress.rejected } : {};
  }

  async close(): Promise<void> {}

  private encoder({ columns }: KnownTable): (fields: Fields) => string {
    const { json } = this.settings;
    return fields => JSON.stringify(jsonRow(columns, fields, json));
  }

  /** At most 128 characters: topic-partition-offset-0. A replayed record has the id that it had. */
  private insertId({ topic, partition, record, origin }: Row): string {
    const at = origin ?? { topic, partition, offset: record.offset };
    const place = `-${at.partition}-${at.offset}-0`;
    return at.topic.slice(0, 128 - place.length) + place;
  }

  private async insert(part: Part, progress: Progress, signal: AbortSignal): Promise<void> {
    const { rest, dataset, table, skipInvalidRows, json } = this.settings;
    let { rows, places } = part;
    while (rows.length > 0) {
      let errors: InsertError[];
      try {
        const ignoreUnknownValues = json.ignoreUnknown === true;
        errors = await insertAll(rest, { dataset, table, rows, skipInvalidRows, ignoreUnknownValues, signal });
      } catch (error) {
        if (!(error instanceof RestError) || error.sinkKind !== 'too-large') throw error;
        if (rows.length === 1) {
          return refuse(progress, { row: places[0] as number, code: 'ROW_TOO_LARGE', reason: error.message });
        }
        const middle = rows.length >> 1;
        await this.insert({ rows: rows.slice(0, middle), places: places.slice(0, middle) }, progress, signal);
        [rows, places] = [rows.slice(middle), places.slice(middle)];
        continue;
      }
      const again: number[] = [];
      let trouble: SinkError | null = null;
      for (const { index, errors: reasons } of errors) {
        const fault = reasons.find(({ reason }) => reason !== 'stopped');
        const later = fault && this.troubleIn(fault);
        trouble ??= later ?? null;
        if (!fault || later) again.push(index);
        else refuse(progress, { row: places[index] as number, code: codeOf(fault.reason), reason: wordsOf(fault) });
      }
      const open = new Set(again);
      for (const [i, place] of places.entries()) if (!open.has(i)) progress.done.add(place);
      if (trouble) return this.lookAgain(trouble);
      // Nobody to blame: BigQuery stopped rows and names none that is at fault.
      if (rows.length === again.length) throw new SinkError('transient', 'STOPPED', 'BigQuery stopped every row');
      [rows, places] = [again.map(i => rows[i] as string), again.map(i => places[i] as number)];
    }
  }

  /** What is wrong with the time, not with the row. */
  private troubleIn(fault: InsertError['errors'][number]): SinkError | null {
    if (isTransient(fault.reason)) return new SinkError('transient', codeOf(fault.reason), fault.message);
    // The table has every field that is sent: those who take the rows learn of a new column some minutes later.
    if (!/no such field/i.test(fault.message)) return null;
    return new SinkError('transient', 'SCHEMA_NOT_SEEN_YET', wordsOf(fault), { retryAfterMs: 5000 });
  }

  /** The column may also be gone: the next try knows. */
  private async lookAgain(trouble: SinkError): Promise<never> {
    await this.settings.guide.fresh();
    throw trouble;
  }
}

function refuse(progress: Progress, reject: Reject): void {
  progress.done.add(reject.row);
  progress.rejected.push(reject);
}

const isTransient = (reason: string): boolean =>
  /^(backendError|internalError|timeout|rateLimitExceeded)$/.test(reason);

function wordsOf({ location, message, reason }: InsertError['errors'][number]): string {
  const said = message === '' ? reason : message;
  return location === '' || said.includes(location) ? said : `${location}: ${said}`;
}

function cut({ rows, places }: Part): Part[] {
  const parts: Part[] = [];
  let open: Part = { rows: [], places: [] };
  let size = 0;
  for (const [i, row] of rows.entries()) {
    // Characters beyond ASCII take up to three bytes.
    const bytes = Buffer.byteLength(row) + 1;
    if (open.rows.length > 0 && (size + bytes > REQUEST_BYTES || open.rows.length >= REQUEST_ROWS)) {
      parts.push(open);
      open = { rows: [], places: [] };
      size = 0;
    }
    open.rows.push(row);
    open.places.push(places[i] as number);
    size += bytes;
  }
  if (open.rows.length > 0) parts.push(open);
  return parts;
}
