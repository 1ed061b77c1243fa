import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '../../../core/base/clock.ts';
import type { StorageField } from '../schema/columns.ts';
import { WriteError, writeErrorOf } from './grpc-errors.ts';
import { type Any, storageCodeOfDetails } from './storage-error.ts';

/** One AppendRows call: requests go out in order, answers come back in the same order, one for one (storage.proto). */

export interface AppendRequest {
  writeStream?: string;
  offset?: { value: string };
  protoRows: { writerSchema?: { protoDescriptor: object }; rows: { serializedRows: readonly Uint8Array[] } };
  defaultMissingValueInterpretation?: string;
  traceId?: string;
}

export interface AppendResponse {
  appendResult?: object | null;
  error?: { code?: number | null; message?: string | null; details?: Any[] | null } | null;
  rowErrors?: RowError[] | null;
  updatedSchema?: { fields?: StorageField[] | null } | null;
}

export interface RowError {
  index?: string | number | null;
  message?: string | null;
}

/** How long an answer may take. Behind a connection that died without a word, none would ever come. */
export const ANSWER_MS = 120_000;

interface Waiting {
  /** Monotonic time at which the request went out. */
  sentAt: number;
  resolve: (response: AppendResponse) => void;
  reject: (error: Error) => void;
}

/** A call of the generated client. */
export type CancellableStream = Duplex & { cancel(): void };

export class AppendCall {
  /** Why it ended; null while it is open. */
  ended: Error | null = null;
  private readonly stream: CancellableStream;
  private readonly clock: Clock;
  private readonly waiting: Waiting[] = [];
  /** Set while something waits: when the oldest may have waited for too long. */
  private timer: Timer | null = null;

  constructor(stream: CancellableStream, clock: Clock) {
    this.stream = stream;
    this.clock = clock;
    stream.on('data', (response: AppendResponse) => this.waiting.shift()?.resolve(response));
    stream.on('error', (error: unknown) => this.end(writeErrorOf(error)));
    stream.on('end', () => this.end(new WriteError(14, null, 'BigQuery ended the connection')));
    stream.on('close', () => this.end(new WriteError(14, null, 'the connection was closed')));
  }

  get isIdle(): boolean {
    return this.waiting.length === 0;
  }

  /** The answer, errors in it included; rejects when the call ends without one, or none came within ANSWER_MS. */
  send(request: AppendRequest): Promise<AppendResponse> {
    return new Promise((resolve, reject) => {
      if (this.ended) return reject(this.ended);
      this.waiting.push({ sentAt: this.clock.monotonic(), resolve, reject });
      this.timer ??= this.clock.setTimer(ANSWER_MS, this.look);
      this.stream.write(request);
    });
  }

  /** Ends it now; what is unanswered stays so. */
  destroy(): void {
    this.end(new WriteError(1, null, 'the connection was given up'));
    this.cancel();
  }

  /** No more requests will come, and all were answered. The service may leave its own half open: that would keep the
   * process alive. */
  finish(): void {
    this.ended ??= new WriteError(1, null, 'the connection was finished');
    this.stream.end(() => this.cancel());
  }

  /** Destroying the stream alone leaves the call below it open, and with it the connection. */
  private cancel(): void {
    this.stream.cancel();
    this.stream.destroy();
  }

  private readonly look = (): void => {
    this.timer = null;
    const [oldest] = this.waiting;
    if (!oldest) return;
    const left = oldest.sentAt + ANSWER_MS - this.clock.monotonic();
    if (left > 0) {
      this.timer = this.clock.setTimer(left, this.look);
      return;
    }
    this.end(new WriteError(4, null, `BigQuery did not answer within ${ANSWER_MS / 1000} seconds`));
    this.cancel();
  };

  private end(error: Error): void {
    this.ended ??= error;
    this.timer?.cancel();
    this.timer = null;
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }
}

/** The error in an answer; null for rows that were taken. */
export function errorIn({ error }: AppendResponse): WriteError | null {
  if (!error) return null;
  const storage = storageCodeOfDetails(error.details);
  return new WriteError(error.code ?? 2, storage, error.message ?? 'the rows were refused');
}
