import type { StateMark, StepState } from './step-state.ts';

/** The call has to end before this record: its time makes a timer come that this very call has set, or more has gone
 * between the guest and its state than one call may hold. */
export class CallCut {
  /** Index within the call. */
  readonly record: number;
  constructor(record: number) {
    this.record = record;
  }
}

/**
 * Follows one call of a guest with state, record by record: what a record has written stays when the record went well,
 * and is taken back when it failed; when the call fails, all of it is.
 */
export class CallWrites {
  readonly state: StepState;
  private readonly hasFailed: (index: number) => boolean;
  /** When the records come, in the call's order; null: time does not matter to this module, or these are no records. */
  private times: readonly number[] | null = null;
  private before!: StateMark;
  private record!: StateMark;
  private at = 0;

  constructor(state: StepState, hasFailed: (index: number) => boolean) {
    this.state = state;
    this.hasFailed = hasFailed;
  }

  /** `first`: what the call itself takes away, before its records. */
  begin(times: readonly number[] | null, first: () => void): void {
    this.times = times;
    this.before = this.state.mark();
    first();
    this.record = this.state.mark();
    this.at = 0;
    this.moveTime(0);
  }

  /** The guest begins with this record. Throws CallCut when a timer comes first. */
  enters(index: number): void {
    if (index === this.at) return;
    this.leave();
    for (; this.at < index; ) this.moveTime(++this.at);
    this.at = index;
    if (this.times && this.state.nextTimer <= this.state.time) throw new CallCut(index);
  }

  /** The guest has returned; `last`: index of the last record. */
  end(last: number): void {
    this.leave();
    for (; this.at < last; ) this.moveTime(++this.at);
  }

  /** The call has not been. */
  rollBack(): void {
    this.state.rollBack(this.before);
  }

  /** All that the call wrote has not been; its records have. */
  rollBackWrites(): void {
    this.state.rollBackWrites(this.before);
  }

  private leave(): void {
    if (this.hasFailed(this.at)) this.state.rollBackWrites(this.record);
    else this.record = this.state.mark();
  }

  private moveTime(index: number): void {
    const time = this.times?.[index];
    if (time !== undefined && time > this.state.time) this.state.time = time;
  }
}
