import { type Clock, sleep } from '../../core/base/clock.ts';
import type { Random } from '../../core/base/random.ts';
import type { LogRecord } from '../../core/engine/records.ts';
import { backOffMs } from './back-off.ts';
import type { PartitionWriter, Row, WriteResult } from './contract.ts';
import { type Failure, failureOf } from './failure.ts';

/** One batch to the system: retried, split to find the row that is at fault, until every row is written or refused. */

export interface RetryPlan {
  /** Tries of a batch that fails with an error the connector cannot classify; the first counts. */
  attempts: number;
  fromMs: number;
  toMs: number;
  onExhausted: 'wait' | 'dead_letter' | 'stop';
}

export interface Rejected {
  record: LogRecord;
  code: string;
  reason: string;
}

export interface Delivered {
  written: number;
  rejected: Rejected[];
  /** The last state that the connector gave; undefined: stays. */
  state: string | undefined;
}

export interface DeliverOptions {
  writer: PartitionWriter;
  retry: RetryPlan;
  clock: Clock;
  random: Random;
  /** The lease is over or the lane gave up: in-flight writes are told. */
  over: AbortSignal;
  /** No more tries: what fails now is left for the next owner. */
  windingUp: AbortSignal;
  /** A batch that must be split is handed back: each part is committed by itself. */
  handsBack: boolean;
  /** A try failed and is repeated after `delayMs`. `exhausted`: the bound on tries is passed. */
  retrying(failure: Failure, delayMs: number, exhausted: boolean): void;
  /** A write was accepted. */
  accepted(): void;
}

/** Why a batch was not delivered; its rows are still to be done by the next owner. */
export class Undelivered extends Error {
  readonly why: 'over' | 'fenced' | 'stop';
  readonly failure: Failure | null;

  constructor(why: 'over' | 'fenced' | 'stop', failure: Failure | null) {
    super(failure?.reason ?? why);
    this.why = why;
    this.failure = failure;
  }
}

/** What is left of a batch that must be split. */
export class Split extends Error {
  readonly rows: readonly Row[];
  readonly rejected: readonly Rejected[];

  constructor(rows: readonly Row[], rejected: readonly Rejected[]) {
    super('the batch is split');
    this.rows = rows;
    this.rejected = rejected;
  }
}

/** Throws `Undelivered` or, when the options say so, `Split`. */
export async function deliver(rows: readonly Row[], next: bigint, options: DeliverOptions): Promise<Delivered> {
  const result: Delivered = { written: 0, rejected: [], state: undefined };
  await deliverPart(rows, next, options, result);
  return result;
}

async function deliverPart(
  rows: readonly Row[],
  next: bigint,
  options: DeliverOptions,
  result: Delivered,
): Promise<void> {
  let left = rows;
  let unknown = 0;
  for (let attempt = 1; left.length > 0; attempt++) {
    let failure: Failure;
    try {
      const batch = { rows: left, sizeBytes: sizeOf(left), next, attempt };
      take(await options.writer.write(batch, options.over), left, result);
      options.accepted();
      return;
    } catch (thrown) {
      failure = failureOf(thrown);
    }
    if (options.over.aborted) throw new Undelivered('over', failure);
    switch (failure.kind) {
      case 'fenced':
        throw new Undelivered('fenced', failure);
      case 'fatal':
        throw new Undelivered('stop', failure);
      case 'rejected':
      case 'too-large':
      case 'schema': {
        const rest = withoutNamed(left, failure, result);
        if (rest) {
          left = rest;
          break;
        }
        if (left.length > 1 && options.handsBack) throw new Split(left, result.rejected);
        if (left.length > 1) {
          const middle = left.length >> 1;
          const second = left[middle] as Row;
          await deliverPart(left.slice(0, middle), BigInt(second.record.offset), options, result);
          await deliverPart(left.slice(middle), next, options, result);
        } else refuseAll(left, failure, result);
        return;
      }
      case 'unknown':
        unknown++;
        if (unknown >= options.retry.attempts) {
          if (options.retry.onExhausted === 'stop') throw new Undelivered('stop', failure);
          if (options.retry.onExhausted === 'dead_letter') return refuseAll(left, failure, result);
        }
        await wait(options, failure, attempt, unknown >= options.retry.attempts);
        break;
      case 'transient':
      case 'throttled':
      case 'auth':
        await wait(options, failure, attempt, false);
        break;
    }
  }
}

async function wait(options: DeliverOptions, failure: Failure, attempt: number, exhausted: boolean): Promise<void> {
  if (options.windingUp.aborted) throw new Undelivered('over', failure);
  const delayMs = backOffMs(attempt, options.retry, options.random, failure.retryAfterMs);
  options.retrying(failure, delayMs, exhausted);
  await sleep(options.clock, delayMs, options.windingUp);
  if (options.windingUp.aborted) throw new Undelivered('over', failure);
}

function take(written: WriteResult, rows: readonly Row[], result: Delivered): void {
  const refused = new Map((written.rejected ?? []).map(reject => [reject.row, reject]));
  let count = 0;
  for (const [index, { code, reason }] of refused) {
    const row = rows[index];
    if (!row) continue;
    result.rejected.push({ record: row.record, code, reason });
    count++;
  }
  result.written += rows.length - count;
  if (written.state !== undefined) result.state = written.state;
}

/** Takes out the rows that the error names; null when it names none. */
function withoutNamed(rows: readonly Row[], failure: Failure, result: Delivered): Row[] | null {
  const named = new Map(failure.rejected.map(reject => [reject.row, reject]));
  const rest = rows.filter((row, index) => {
    const reject = named.get(index);
    if (reject) result.rejected.push({ record: row.record, code: reject.code, reason: reject.reason });
    return !reject;
  });
  return rest.length < rows.length ? rest : null;
}

function refuseAll(rows: readonly Row[], failure: Failure, result: Delivered): void {
  for (const { record } of rows) result.rejected.push({ record, code: failure.code, reason: failure.reason });
}

function sizeOf(rows: readonly Row[]): number {
  let size = 0;
  for (const { record } of rows) size += (record.key?.length ?? 0) + (record.value?.length ?? 0);
  return size;
}
