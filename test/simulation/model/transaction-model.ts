/** One transactional id as KIP-98, KIP-360 and KIP-890 tell it. Knows nothing of the broker's code. */

/** A group's position: of several the one counts that was written last, whenever its transaction was committed. */
export interface Position {
  offset: number;
  /** Grows with each one written. */
  writtenAs: number;
}

type State = 'Empty' | 'Ongoing' | 'CompleteCommit' | 'CompleteAbort';
export type Outcome = 'commit' | 'abort';

const NONE = 0;
const INVALID_TXN_STATE = 48;
const PRODUCER_FENCED = 90;

export class TransactionModel {
  producerId = -1;
  epoch = -1;
  state: State = 'Empty';
  /** topic/partition, and `group` for positions. */
  readonly partitions = new Set<string>();
  startedAt = 0;
  /** Positions that count with the commit. */
  readonly positions = new Map<string, Position>();
  /** 2: the epoch grows with each transaction. */
  readonly version: 1 | 2;
  readonly timeoutMs: number;

  constructor(version: 1 | 2, timeoutMs: number) {
    this.version = version;
    this.timeoutMs = timeoutMs;
  }

  /** What a producer that begins anew makes of it: an open transaction ends first, with an epoch of its own. */
  init(): { aborts: boolean; epoch: number } {
    const aborts = this.state === 'Ongoing';
    return { aborts, epoch: this.epoch < 0 ? 0 : this.epoch + (aborts ? 2 : 1) };
  }

  /** 0 or 90 for a request that carries this epoch. */
  fence(epoch: number): number {
    return epoch === this.epoch ? NONE : PRODUCER_FENCED;
  }

  begin(now: number): void {
    if (this.state === 'Ongoing') return;
    this.state = 'Ongoing';
    this.startedAt = now;
    this.partitions.clear();
    this.positions.clear();
  }

  /** The answer to an EndTxn, and whether it ends something. */
  end(epoch: number, outcome: Outcome): { errorCode: number; ends: Outcome | null } {
    const bumps = this.version === 2;
    const isRetry = bumps && epoch === this.epoch - 1;
    const nothing = (errorCode: number) => ({ errorCode, ends: null });
    if (!isRetry && epoch !== this.epoch) return nothing(PRODUCER_FENCED);
    const complete = outcome === 'commit' ? 'CompleteCommit' : 'CompleteAbort';
    if (this.state === complete) {
      if (!bumps || isRetry) return nothing(NONE);
      return outcome === 'abort' ? { errorCode: NONE, ends: 'abort' } : nothing(INVALID_TXN_STATE);
    }
    if (isRetry) return nothing(INVALID_TXN_STATE);
    if (this.state === 'Ongoing') return { errorCode: NONE, ends: outcome };
    const isIdle = this.state === 'Empty' || this.state === 'CompleteCommit';
    return bumps && outcome === 'abort' && isIdle ? { errorCode: NONE, ends: 'abort' } : nothing(INVALID_TXN_STATE);
  }

  ended(outcome: Outcome, epoch: number): void {
    this.state = outcome === 'commit' ? 'CompleteCommit' : 'CompleteAbort';
    this.epoch = epoch;
    this.partitions.clear();
    this.positions.clear();
  }
}
