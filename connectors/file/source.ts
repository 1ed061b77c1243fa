import path from 'node:path';
import { z } from 'zod';
import type { DiskFile } from '../../core/base/disk.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import { size } from '../../core/base/units.ts';
import type { ConnectorContext, SourceBatch, SourceConnector, SourceReader } from '../runtime/contract.ts';
import { recordOf } from './fields.ts';
import { fingerprintOf, readState, type SourceState, writeState } from './source-state.ts';
import { lineEnd, Rows } from './rows.ts';

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
  private state: SourceState | null;
  private file: DiskFile | null = null;
  private rows: Rows | null = null;

  constructor(options: FileSourceConfig, context: ConnectorContext, state: SourceState | null) {
    this.config = options;
    this.context = context;
    this.path = path.resolve(context.baseDirectory, options.path);
    this.state = state;
  }

  async poll(maxRecords: number): Promise<SourceBatch | null> {
    if (this.finished) return null;
    const rows = (this.rows ??= await this.open());
    const batch: SourceBatch = { records: [], rejected: [], state: '' };
    const now = this.context.clock.now();
    const rules = { key: this.config.key, timestampField: this.config.timestamp_field };
    const from = rows.offset;
    while (batch.records.length + batch.rejected.length < maxRecords && rows.offset - from < BATCH_BYTES) {
      const row = await rows.next(!this.config.follow);
      if (!row) break;
      if (row.kind === 'too-long') {
        const reason = `line ${row.line} has ${row.sizeBytes} bytes, more than ${this.config.max_line_bytes}; its first ${row.bytes.length} are kept`;
        batch.rejected.push({ raw: row.bytes, at: row.line, code: 'LINE_TOO_LONG', reason });
      } else if (row.bytes.length > 0) batch.records.push(recordOf(row.bytes, now, rules));
    }
    if (rows.offset > from) {
      batch.state = writeState(await this.moved(rows));
      return batch;
    }
    if (this.config.follow) await this.close();
    else this.finished = true;
    return null;
  }

  async close(): Promise<void> {
    const { file } = this;
    this.file = null;
    this.rows = null;
    await file?.close().catch(() => {});
  }

  /** Opens the file where the state says, or at its beginning when it is another file than then. */
  private async open(): Promise<Rows> {
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
    return new Rows(file, offset, line, this.config.max_line_bytes, lineEnd);
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
