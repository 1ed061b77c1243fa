/** One AppendRows call through the official generated client, with its answers in the order in which they come. */
import type { protos } from '@google-cloud/bigquery-storage';
import { type Descriptor, descriptor, type Field, message } from './rows.ts';
import type { WriteClient } from './target.ts';

export type Response = protos.google.cloud.bigquery.storage.v1.IAppendRowsResponse;
export type Request = protos.google.cloud.bigquery.storage.v1.IAppendRowsRequest;
export interface Ended {
  code: number;
  details?: string;
  metadata?: { get(name: string): unknown[] };
}

const open = new Set<{ cancel(): void }>();

/** Calls that a failed case has left open: some servers have few threads for them. */
export function cancelAppenders(): void {
  for (const call of open) call.cancel();
  open.clear();
}

export class Appender {
  private readonly call: ReturnType<WriteClient['appendRows']>;
  private readonly arrived: Response[] = [];
  private readonly waiting: ((response: Response) => void)[] = [];
  /** How the call ended. */
  readonly ended: Promise<Ended>;

  constructor(client: WriteClient) {
    this.call = client.appendRows();
    open.add(this.call);
    this.call.on('data', (response: Response) => {
      const next = this.waiting.shift();
      if (next) next(response);
      else this.arrived.push(response);
    });
    this.ended = new Promise(resolve => {
      this.call.on('error', (error: Ended) => resolve(error));
      this.call.on('end', () => resolve({ code: 0 }));
    });
  }

  send(request: Request): void {
    this.call.write(request);
  }

  /** The next answer. Rejects when the call ends first. */
  next(): Promise<Response> {
    const ready = this.arrived.shift();
    if (ready) return Promise.resolve(ready);
    const ended = this.ended.then(({ code, details }) => {
      throw new Error(`the call has ended: ${code} ${details ?? ''}`);
    });
    return Promise.race([new Promise<Response>(resolve => this.waiting.push(resolve)), ended]);
  }

  /** Answers that are there and have not been asked for. */
  get unread(): number {
    return this.arrived.length;
  }

  async append(request: Request): Promise<Response> {
    this.send(request);
    return this.next();
  }

  async close(): Promise<void> {
    open.delete(this.call);
    this.call.end();
    await this.ended;
  }
}

/** A request with rows of these fields; `schema` false leaves the writer's schema out. */
export function rows(
  fields: readonly Field[],
  values: readonly Record<string, unknown>[],
  more: { stream?: string; offset?: number; schema?: boolean; descriptor?: Descriptor } & Partial<Request> = {},
): Request {
  const { stream, offset, schema, descriptor: given, ...rest } = more;
  return {
    ...(stream === undefined ? {} : { writeStream: stream }),
    ...(offset === undefined ? {} : { offset: { value: offset } }),
    protoRows: {
      ...(schema === false ? {} : { writerSchema: { protoDescriptor: given ?? descriptor(fields) } }),
      rows: { serializedRows: values.map(each => message(fields, each)) },
    },
    ...rest,
  };
}

/** The StorageError codes in an answer's error. */
export function storageCodes(response: Response, codec: { decode(bytes: Uint8Array): { code: unknown } }): unknown[] {
  return (response.error?.details ?? []).map(detail => codec.decode(detail.value as Uint8Array).code);
}

/** Adds a row as it is. */
export function pushRaw(request: Request, row: Uint8Array): void {
  const list = request.protoRows?.rows?.serializedRows;
  if (!list) throw new Error('the request has no rows');
  list.push(row);
}
