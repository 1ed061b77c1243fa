import type { Reject, Row } from '../../runtime/contract.ts';
import type { RowEncoder } from '../encode/row-encoder.ts';
import type { KnownTable } from '../table/guide.ts';
import type { WriteResult } from '../../runtime/contract.ts';

/** One write of the runtime on its way into a stream with offsets. */
export interface Slot {
  /** As the runtime gave them: the same array comes again when it tries again. */
  readonly rows: readonly Row[];
  readonly next: number;
  /** Who waits for it; null between two tries. */
  caller: PromiseWithResolvers<WriteResult> | null;
  /** Rows that earlier streams have, by place; known from the first look on. */
  skipped: ReadonlySet<number> | null;
  /** What is still to be passed over behind this slot. */
  skipLeft: number;
  filled: Filled | null;
  /** In the stream; set when it is sent. */
  from: number;
  isSent: boolean;
  isDone: boolean;
  /** A connection ended without an answer: BigQuery may have the rows or not. */
  inDoubt: boolean;
  /** Grows with every try, so that late answers are known. */
  tries: number;
  mostBytes: number;
}

export interface Filled {
  table: KnownTable;
  encoder: RowEncoder;
  made: Uint8Array[];
  /** Place of each among the slot's rows. */
  places: number[];
  rejected: Reject[];
}

export function newSlot(rows: readonly Row[], next: bigint, mostBytes: number): Slot {
  return {
    rows,
    next: Number(next),
    caller: null,
    skipped: null,
    skipLeft: 0,
    filled: null,
    from: 0,
    isSent: false,
    isDone: false,
    inDoubt: false,
    tries: 0,
    mostBytes,
  };
}
