/**
 * One AppendRows call: requests are worked off one after the other and answered in their order; the stream's name and the
 * writer's schema stick; idle connections end; a newer connection on the same stream takes its place.
 */
import type * as Grpc from '@grpc/grpc-js';
import type { Timer } from '../../../../core/base/clock.ts';
import { disturbTable } from '../disturb.ts';
import type { Action } from '../faults.ts';
import type { Entry } from '../journal.ts';
import { type AppendRowsRequest, type AppendRowsResponse, storage } from '../proto/protos.ts';
import type { Fake } from '../rest/context.ts';
import { append, openTarget, RowsRefused, type Target, updatedSchema } from './append.ts';
import { Code, GrpcError, invalid, toRpcStatus, toStatus } from './errors.ts';
import { parseName, tableId } from './names.ts';
import { killSession } from './kill.ts';

type Interpretation = AppendRowsRequest['defaultMissingValueInterpretation'];
const { DEFAULT_VALUE, NULL_VALUE } = storage.AppendRowsRequest.MissingValueInterpretation;

interface Received {
  readonly request: AppendRowsRequest;
  readonly bytes: number;
}

export class Connection {
  private readonly fake: Fake;
  private readonly call: Grpc.ServerDuplexStream<Received, AppendRowsResponse>;
  private readonly number: number;
  private readonly queue: Received[] = [];
  private readonly targets = new Map<string, Target>();
  private readonly gone = new AbortController();
  private current = '';
  private traceId: string | undefined;
  private byDefault: Interpretation = NULL_VALUE;
  private working = false;
  private ended = false;
  /** Answers are held back from here on: an ack was dropped, and answers come in order. */
  private silent = false;
  private clientDone = false;
  private idle: Timer | null = null;

  constructor(fake: Fake, call: Grpc.ServerDuplexStream<Received, AppendRowsResponse>, number: number) {
    this.fake = fake;
    this.call = call;
    this.number = number;
  }

  open(): void {
    const { call, fake, number } = this;
    fake.journal.open({ method: 'connect', table: '', connection: number }).outcome = 'ok';
    call.on('data', (received: Received) => {
      this.queue.push(received);
      void this.work();
    });
    call.on('end', () => {
      this.clientDone = true;
      void this.work();
    });
    call.on('cancelled', () => this.close());
    call.on('error', () => this.close());
    this.watch();
  }

  /** Another connection writes to this one's stream. */
  displace(stream: string): void {
    this.end(
      new GrpcError(
        Code.ABORTED,
        `Another connection has been opened on the stream; only one may be active. Entity: ${stream}`,
        null,
        true,
      ),
    );
  }

  private watch(): void {
    this.idle?.cancel();
    const { idleMs, clock } = this.fake.options;
    this.idle = clock.setTimer(idleMs, () =>
      this.end(
        new GrpcError(
          Code.ABORTED,
          `Closing the stream because it has been inactive for ${idleMs / 1000} seconds.${this.current === '' ? '' : ` Entity: ${this.current}`}`,
        ),
      ),
    );
  }

  private async work(): Promise<void> {
    if (this.working) return;
    this.working = true;
    for (let next = this.queue.shift(); next && !this.ended; next = this.queue.shift()) await this.handle(next);
    this.working = false;
    if (this.clientDone && !this.ended && !this.silent) {
      this.close();
      this.call.end();
    }
  }

  private async handle({ request, bytes }: Received): Promise<void> {
    this.watch();
    const name = request.writeStream || this.current;
    this.traceId ??= request.traceId || undefined;
    const call = {
      method: 'AppendRows',
      table: tableOf(name),
      stream: name,
      ...(request.offset ? { offset: Number(request.offset.value ?? 0) } : {}),
      rows: request.protoRows?.rows?.serializedRows?.length ?? 0,
      bytes,
      connection: this.number,
      ...(this.traceId === undefined ? {} : { traceId: this.traceId }),
    };
    const entry = this.fake.journal.open(call);
    const actions = this.fake.faults.match(call);
    if (actions.length > 0 && !(await this.before(actions, entry, call.table, name))) return;
    let response: AppendRowsResponse;
    try {
      response = this.apply(name, request, bytes, entry);
    } catch (error) {
      const known = error instanceof GrpcError ? error : new GrpcError(Code.INTERNAL, String(error));
      entry.outcome = Code[known.code] ?? String(known.code);
      if (known.endsConnection) return this.end(known);
      response = this.refusal(known, name);
    }
    const hidden = actions.find(each => each.kind === 'drop-ack' || (each.kind === 'kill' && each.when === 'after'));
    if (hidden) entry.outcome = `hidden:${entry.outcome}`;
    if (hidden?.kind === 'kill') this.kill();
    else if (hidden) this.silent = true;
    if (!this.silent && !this.ended) this.call.write(response);
  }

  /** @returns whether the request is still to be worked on */
  private async before(actions: readonly Action[], entry: Entry, table: string, name: string): Promise<boolean> {
    entry.fault = actions.map(action => action.kind).join(',');
    for (const action of actions) {
      if (action.kind === 'delay') {
        await this.fake.faults.wait(action.ms, this.gone.signal);
        if (this.ended) return false;
      } else if (action.kind === 'kill' && action.when === 'before') {
        entry.outcome = 'killed';
        this.kill();
        return false;
      } else if (action.kind === 'grpc-error') {
        entry.outcome = Code[action.code] ?? String(action.code);
        const error = new GrpcError(action.code, action.message);
        if (action.inBand !== true) this.end(error);
        else if (!this.silent) this.call.write(this.refusal(error, name));
        return false;
      } else disturbTable(this.fake, table, action);
    }
    return true;
  }

  private apply(name: string, request: AppendRowsRequest, bytes: number, entry: Entry): AppendRowsResponse {
    const { appendLimitBytes } = this.fake.options;
    if (bytes >= appendLimitBytes)
      throw invalid(`AppendRows request too large: ${bytes} limit ${appendLimitBytes}`, name);
    if (name === '')
      throw new GrpcError(Code.INVALID_ARGUMENT, 'write_stream must be specified in the first request', null, true);
    const target = this.target(name);
    this.current = name;
    if (request.defaultMissingValueInterpretation) this.byDefault = request.defaultMissingValueInterpretation;
    const { stream } = target;
    if (stream && stream.owner !== this) {
      (stream.owner as Connection | null)?.displace(name);
      stream.owner = this;
    }
    const offset = append(this.fake, target, request, this.byDefault === DEFAULT_VALUE);
    entry.applied = true;
    entry.outcome = 'ok';
    const schema = updatedSchema(this.fake, target);
    return {
      appendResult: offset === null ? {} : { offset: { value: offset } },
      ...(schema === null ? {} : { updatedSchema: schema }),
      writeStream: name,
    };
  }

  private target(name: string): Target {
    const known = this.targets.get(name);
    if (known && !known.table.dropped) return known;
    const target = openTarget(this.fake, name);
    this.targets.set(name, target);
    return target;
  }

  private refusal(error: GrpcError, name: string): AppendRowsResponse {
    const target = this.targets.get(name);
    const schema = target && !target.table.dropped ? updatedSchema(this.fake, target) : null;
    return {
      error: toRpcStatus(error),
      ...(error instanceof RowsRefused ? { rowErrors: [...error.rows] } : {}),
      ...(schema === null ? {} : { updatedSchema: schema }),
      writeStream: name,
    };
  }

  private end(error: GrpcError): void {
    if (this.ended) return;
    this.close();
    this.call.emit('error', toStatus(error));
  }

  private kill(): void {
    this.close();
    killSession(this.call);
  }

  private close(): void {
    this.ended = true;
    this.gone.abort();
    this.idle?.cancel();
    for (const { stream } of this.targets.values()) if (stream?.owner === this) stream.owner = null;
  }
}

function tableOf(name: string): string {
  try {
    return tableId(parseName(name));
  } catch {
    return '';
  }
}
