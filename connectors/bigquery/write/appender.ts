import { type AppendCall, type AppendRequest, type AppendResponse, errorIn } from '../api/append-call.ts';
import type { Storage } from '../api/storage.ts';
import type { RowEncoder } from '../encode/row-encoder.ts';

/** Appends to one stream over one connection after the other. */

/** Below the 10 MB that a request may have, with room for its framing. */
export const REQUEST_BYTES = 9 * 1024 * 1024;
/** Tag and length before each row. */
const ROW_FRAME_BYTES = 6;

export class Appender {
  /** Called when BigQuery says that the table has changed. */
  schemaChanged: () => void = () => {};
  private readonly storage: Storage;
  private readonly stream: string;
  private readonly traceId: string;
  private call: AppendCall | null = null;
  private fingerprint = '';

  constructor(storage: Storage, stream: string, traceId: string) {
    this.storage = storage;
    this.stream = stream;
    this.traceId = traceId;
  }

  /** A connection has one writer's schema from its first request on; another one needs another connection. */
  fits(encoder: RowEncoder): boolean {
    return this.call === null || this.call.ended !== null || this.fingerprint === encoder.fingerprint;
  }

  get isIdle(): boolean {
    return this.call === null || this.call.isIdle;
  }

  /** The answer, which may hold an error; rejects with WriteError when the connection ends before. */
  async send(rows: readonly Uint8Array[], encoder: RowEncoder, offset: number | null): Promise<AppendResponse> {
    if (!this.fits(encoder)) {
      this.call?.finish();
      this.call = null;
    }
    const request: AppendRequest = {
      // Only the first of a connection has to name it, but emulators do not remember.
      writeStream: this.storage.nameOf(this.stream),
      protoRows: { rows: { serializedRows: rows } },
    };
    if (offset !== null) request.offset = { value: String(offset) };
    if (this.call === null || this.call.ended) {
      this.call = this.storage.append(this.stream);
      this.fingerprint = encoder.fingerprint;
      request.protoRows.writerSchema = { protoDescriptor: encoder.descriptor };
      request.traceId = this.traceId;
      if (encoder.columns.some(column => column.hasDefault))
        request.defaultMissingValueInterpretation = 'DEFAULT_VALUE';
    }
    const response = await this.call.send(request);
    if (response.updatedSchema) this.schemaChanged();
    return response;
  }

  finish(): void {
    this.call?.finish();
    this.call = null;
  }

  destroy(): void {
    this.call?.destroy();
    this.call = null;
  }
}

/** What became of one request's rows. */
export interface Outcome {
  error: Error | null;
  /** Rows (of the request) that were refused, the whole request with them. */
  refused: { index: number; message: string }[];
}

export async function outcomeOf(answer: Promise<AppendResponse>): Promise<Outcome> {
  try {
    const response = await answer;
    const refused = (response.rowErrors ?? []).map(({ index, message }) => ({
      index: Number(index ?? 0),
      message: message ?? 'the row was refused',
    }));
    return { error: errorIn(response), refused };
  } catch (thrown) {
    return { error: thrown instanceof Error ? thrown : new Error(String(thrown)), refused: [] };
  }
}

/** Cuts rows into requests: [from, to) of each. A row that is too long stands alone. */
export function partsOf(rows: readonly Uint8Array[], mostBytes: number): [from: number, to: number][] {
  const parts: [number, number][] = [];
  let from = 0;
  let size = 0;
  for (const [i, row] of rows.entries()) {
    const bytes = row.length + ROW_FRAME_BYTES;
    if (i > from && size + bytes > mostBytes) {
      parts.push([from, i]);
      from = i;
      size = 0;
    }
    size += bytes;
  }
  if (rows.length > from) parts.push([from, rows.length]);
  return parts;
}
