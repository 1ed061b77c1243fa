import { sleep } from '../../core/base/clock.ts';
import { asMillstreamError } from '../../core/base/errors.ts';
import type { Append } from '../../core/engine/engine.ts';
import { backOffMs } from './back-off.ts';
import { Ended, type LaneOptions, type Trouble } from './lane.ts';
import { frameState } from './state-frame.ts';

/** What a dead letter may keep of a record that its topic does not take whole. */
const SHORT_LETTER_BYTES = 64 * 1024;

/** Makes the batches of a commit; `mostBytes`: what may be kept of a key or value, null for all. */
export type Appender = (mostBytes: number | null) => Append[] | Promise<Append[]>;

/** Commits one partition's position and state, one commit behind the other, again and again while the storage refuses. */
export class Committer {
  /** First offset that is not committed. */
  next: bigint;
  /** The last committed state with its frame. */
  framedState: string | null;
  /** Told what is wrong, and null once a commit went through. */
  trouble: (trouble: Trouble | null) => void = () => {};
  /** Once aborted, what is refused is not tried again. */
  over: AbortSignal;
  private readonly options: LaneOptions;
  private last: Promise<void> = Promise.resolve();

  constructor(options: LaneOptions) {
    this.options = options;
    this.over = options.lease.signal;
    this.next = options.lease.start;
    this.framedState = options.lease.position?.state ?? null;
  }

  /** Throws `Ended` when the lease is over; any other error is a defect or a wrong call. */
  commit(next: bigint, state: string | undefined, append: Appender = () => []): Promise<void> {
    return this.queue(() => this.store(next, state, append));
  }

  /** A state at the position that is committed by then. */
  intent(state: string): Promise<void> {
    return this.queue(() => this.store(this.next, state, () => []));
  }

  private queue(commit: () => Promise<void>): Promise<void> {
    const done = this.last.then(commit);
    this.last = done.catch(() => {});
    return done;
  }

  private async store(next: bigint, state: string | undefined, append: Appender): Promise<void> {
    const { lease, exactlyOnce, clock, retry, random, on } = this.options;
    // Beside an exactly-once sink's position a missing state would look like a lost one.
    const kept = exactlyOnce && this.framedState === null ? (state ?? '') : state;
    const framed = kept === undefined ? null : frameState(lease.topicId, kept);
    let mostBytes: number | null = null;
    for (let attempt = 1; ; attempt++) {
      try {
        // Encoded anew for each try: the engine owns the bytes it was given.
        const batches = await append(mostBytes);
        await lease.commit({
          next,
          ...(framed === null ? {} : { state: framed }),
          ...(batches.length === 0 ? {} : { append: batches }),
        });
        this.next = next;
        this.framedState = framed ?? this.framedState;
        return this.trouble(null);
      } catch (thrown) {
        const error = asMillstreamError(thrown);
        if (lease.signal.aborted || error.kind === 'conflict') throw new Ended({ how: 'abandoned' });
        if (error.code === 'MESSAGE_TOO_LARGE' && mostBytes !== SHORT_LETTER_BYTES) {
          mostBytes = SHORT_LETTER_BYTES;
          continue;
        }
        if (!error.retriable) throw error;
        on.retried('transient');
        this.trouble({ state: 'degraded', reason: `${error.message} (${error.code})` });
        await sleep(clock, backOffMs(attempt, retry, random), this.over);
        if (this.over.aborted) throw new Ended({ how: 'abandoned' });
      }
    }
  }
}
