import path from 'node:path';
import { z } from 'zod';
import type { DiskFile } from '../../core/base/disk.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import { size } from '../../core/base/units.ts';
import type {
  ConnectorContext,
  SourceBatch,
  SourceConnector,
  SourceReader,
  SourceReject,
} from '../runtime/contract.ts';
import { CsvColumns, csvEnd, csvFields } from './csv.ts';
import { recordOf } from './fields.ts';
import { fingerprintOf, readState, type SourceState, writeState } from './source-state.ts';
import { lineEnd, type ReadRow, Rows } from './rows.ts';

const config = z.strictObject({
  path: z.string().min(1).describe('The file, relative to the project'),
  format: z.enum(['ndjson', 'csv']).optional().describe('Left out: csv when the name ends in .csv, else ndjson'),
  key: z
    .string()
    .min(1)
    .optional()
    .describe("Field that becomes the record's key: a name, or a path such as customer.id"),
  timestamp_field: z
    .string()
    .min(1)
    .optional()
    .describe("Field that becomes the record's timestamp: milliseconds or ISO 8601; else the time of reading"),
  follow: z.boolean().default(false).describe('Wait for more at the end of the file, and for a new file in its place'),
  types: z.boolean().default(false).describe('CSV: write numbers as JSON numbers'),
  snake_case: z.boolean().default(false).describe('CSV: turn column names into snake_case'),
  max_line_bytes: size({ min: 1, max: 64 * 2 ** 20 })
    .default(1_000_000)
    .describe('A longer line becomes a dead letter'),
});

export type FileSourceConfig = z.output<typeof config>;

/** Bytes of rows in one batch. */
const BATCH_BYTES = 1024 * 1024;

/** `[source.file]`: the lines of a file, or the rows of a CSV file as JSON objects. */
export function fileSource(): SourceConnector<FileSourceConfig> {
  return {
    type: 'file',
    description: 'Lines of a file: newline-delimited JSON, or CSV with a header row',
    config,
    open: async (options, context, state) => new FileSource(options, context, readState(state)),
  };
}

class FileSource implements SourceReader {
  finished = false;
  private readonly config: FileSourceConfig;
  private readonly context: ConnectorContext;
  private readonly path: string;
  private readonly isCsv: boolean;
  private state: SourceState | null;
  private file: DiskFile | null = null;
  private rows: Rows | null = null;
  private columns: CsvColumns | null = null;

  constructor(options: FileSourceConfig, context: ConnectorContext, state: SourceState | null) {
    this.config = options;
    this.context = context;
    this.path = path.resolve(context.baseDirectory, options.path);
    this.isCsv = (options.format ?? (/\.csv$/i.test(options.path) ? 'csv' : 'ndjson')) === 'csv';
    this.state = state;
  }

  async poll(maxRecords: number): Promise<SourceBatch | null> {
    if (this.finished) return null;
    this.rows ??= await this.open();
    const { rows } = this;
    const from = rows?.offset ?? 0;
    if (rows) {
      const batch = await this.gather(rows, maxRecords);
      if (rows.offset > from) return { ...batch, state: writeState(await this.moved(rows)) };
    }
    // Opened again for the next poll: there may be another file in its place by then.
    await this.close();
    this.finished = !this.config.follow;
    return null;
  }

  async close(): Promise<void> {
    const { file } = this;
    this.file = null;
    this.rows = null;
    await file?.close().catch(() => {});
  }

  private async gather(rows: Rows, maxRecords: number): Promise<Omit<SourceBatch, 'state'>> {
    const batch: Omit<SourceBatch, 'state'> = { records: [], rejected: [] };
    const now = this.context.clock.now();
    const rules = { key: this.config.key, timestampField: this.config.timestamp_field };
    const from = rows.offset;
    while (batch.records.length + batch.rejected.length < maxRecords && rows.offset - from < BATCH_BYTES) {
      const start = { offset: rows.offset, line: rows.line };
      const row = rows.atHand() ?? (await rows.next(!this.config.follow));
      if (!row) break;
      if (row.kind === 'too-long') batch.rejected.push(this.tooLong(row));
      else {
        const bytes = start.offset === 0 ? withoutMark(row.bytes) : row.bytes;
        const value = bytes.length === 0 ? null : this.valueOf(bytes, rows, start);
        if (value instanceof Uint8Array) batch.records.push(recordOf(value, now, rules));
        else if (value) batch.rejected.push(value);
      }
    }
    return batch;
  }

  /** A row as a record's value, or why it cannot be one. */
  private valueOf(bytes: Buffer, rows: Rows, start: { offset: number; line: number }): Uint8Array | SourceReject {
    if (!this.columns) return bytes;
    const fields = csvFields(bytes);
    const json = Array.isArray(fields) ? this.columns.toJson(fields) : fields;
    const at = start.line + 1;
    if (typeof json === 'string') {
      const value = Buffer.from(json);
      const most = this.config.max_line_bytes;
      if (value.length <= most) return value;
      const reason = `line ${at} makes a record of ${value.length} bytes, more than ${most}`;
      return { raw: bytes, at, code: 'LINE_TOO_LONG', reason };
    }
    const fault = { at, code: json.code, reason: `line ${at}: ${json.reason}` };
    const newline = json.unclosed ? bytes.indexOf(0x0a) : -1;
    if (newline === -1) return { ...fault, raw: bytes };
    // Only the line with the quote is lost, not all that the quote has swallowed.
    rows.rewind(start.offset + newline + 1, start.line + 1);
    return { ...fault, raw: bytes.subarray(0, newline) };
  }

  private tooLong(row: ReadRow & { kind: 'too-long' }): SourceReject {
    const { line, sizeBytes, bytes } = row;
    const most = this.config.max_line_bytes;
    if (sizeBytes > most) {
      const reason = `line ${line} has ${sizeBytes} bytes, more than ${most}; its first ${bytes.length} are kept`;
      return { raw: bytes, at: line, code: 'LINE_TOO_LONG', reason };
    }
    const reason = `line ${line}: a quote is opened and not closed within ${most} bytes`;
    return { raw: bytes.subarray(0, sizeBytes), at: line, code: 'CSV_QUOTES', reason };
  }

  /** Opens the file where the state says, or at its beginning when it is another file than then. null: the header of
   * a CSV file is not there yet. */
  private async open(): Promise<Rows | null> {
    try {
      this.file = await this.context.disk.open(this.path, 'read');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new MillstreamError('unavailable', 'FILE_NOT_READABLE', `the source file cannot be read: ${reason}`, {
        help: 'It is tried again until the file is there.',
        cause: error,
      });
    }
    const { state, file } = this;
    const isSame =
      state !== null &&
      (await file.size()) >= state.offset &&
      (await fingerprintOf(file, state.fingerprintBytes)) === state.fingerprint;
    const { offset, line } = isSame ? state : { offset: 0, line: 0 };
    const most = this.config.max_line_bytes;
    if (!this.isCsv) return new Rows(file, offset, line, most, lineEnd);
    const head = await this.readHeader(file);
    if (!head) return null;
    return offset >= head.offset ? new Rows(file, offset, line, most, csvEnd) : head;
  }

  /** Reads the column names; null when the file is still empty. What comes back stands behind them. */
  private async readHeader(file: DiskFile): Promise<Rows | null> {
    const rows = new Rows(file, 0, 0, this.config.max_line_bytes, csvEnd);
    const row = await rows.next(!this.config.follow);
    if (!row) return null;
    const fields = row.kind === 'row' ? csvFields(withoutMark(row.bytes)) : null;
    if (!Array.isArray(fields)) {
      const why = fields?.reason ?? `it is longer than ${this.config.max_line_bytes} bytes`;
      throw new MillstreamError('invalid', 'CSV_HEADER', `the header row of ${this.path} cannot be read: ${why}`);
    }
    this.columns = new CsvColumns(fields, { types: this.config.types, snakeCase: this.config.snake_case });
    return rows;
  }

  private async moved(rows: Rows): Promise<SourceState> {
    const { offset, line } = rows;
    const fingerprintBytes = Math.min(1024, offset);
    const isKnown = this.state?.fingerprintBytes === fingerprintBytes && offset >= this.state.offset;
    const fingerprint =
      isKnown && this.state ? this.state.fingerprint : await fingerprintOf(this.file, fingerprintBytes);
    this.state = { offset, line, fingerprintBytes, fingerprint };
    return this.state;
  }
}

/** Without the byte order mark that some editors put first. */
function withoutMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}
