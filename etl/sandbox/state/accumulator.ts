import { GuestFault } from '../../abi/guest.ts';
import { REFUSAL, type StepState } from './step-state.ts';

/** Of the one entry that an aggregate keeps. */
const KEY = 'accumulator';

/** What a Fluvio aggregate has gathered, as an entry of its step's state: read and written as a whole by each call. */
export class Accumulator {
  private readonly state: StepState | null;

  /** null: the step is no aggregate. */
  constructor(state: StepState | null) {
    this.state = state;
  }

  get kept(): Uint8Array {
    return Buffer.from(this.state?.values.get(KEY) ?? '', 'latin1');
  }

  set kept(bytes: Uint8Array) {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
    const refusal = this.state?.put(KEY, text) ?? 0;
    if (refusal === 0) return;
    const full = refusal === REFUSAL.full;
    const reason = full ? 'as limits.state allows' : `as a value of state may have`;
    throw new GuestFault(
      full ? 'STATE_FULL' : 'STATE_VALUE_TOO_LONG',
      `its accumulator takes more bytes than ${reason}`,
    );
  }
}
