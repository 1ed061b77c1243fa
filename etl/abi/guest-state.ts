import { CELL } from '../sandbox/cell.ts';
import { CallCut } from '../sandbox/state/call-writes.ts';
import type { StepState } from '../sandbox/state/step-state.ts';
import { GuestFault, type StateHost } from './guest.ts';
import { stateImports } from './state-imports.ts';

/** A component gives back what it handed over or was given when its call ends: a call ends before it holds much more. */
const MOST_MOVED = 8 * 1024 * 1024;

/** One instance's way to its step's state: the import functions, and which record or timer it is at. */
export class GuestState {
  readonly imports;
  private readonly host: StateHost;
  private readonly cell: Int32Array;
  private readonly memory: () => Uint8Array<ArrayBuffer>;
  private view = Buffer.alloc(0);
  /** How many records, or timers, the call under way has; -1 while the module is being configured. */
  private count = -1;
  private movedBytes = 0;
  /** Of the flush under way: the timers that the guest has not taken. */
  private timers: string[] = [];

  constructor(host: StateHost, cell: Int32Array, memory: () => Uint8Array<ArrayBuffer>) {
    this.host = host;
    this.cell = cell;
    this.memory = memory;
    this.imports = stateImports({
      state: () => (this.count < 0 ? null : host.state),
      read: (ptr, length) => {
        const from = this.bounded(ptr, length);
        return this.buffer.toString('latin1', from, from + length);
      },
      write: (ptr, text) => {
        const from = this.bounded(ptr, text.length);
        this.buffer.write(text, from, text.length, 'latin1');
      },
      room: (ptr, length) => {
        const from = this.bounded(ptr, length);
        return this.buffer.subarray(from, from + length);
      },
      refuse: why => new GuestFault('BAD_STATE_CALL', why),
      timers: () => this.timers,
      taken: () => {
        this.timers.shift();
        this.enters(this.count - this.timers.length - 1);
      },
    });
  }

  /** The step's state. GuestFault BAD_STATE_CALL while the module is being configured. */
  get step(): StepState {
    if (this.count >= 0) return this.host.state;
    throw new GuestFault('BAD_STATE_CALL', 'the module asked for its state while it was being configured');
  }

  /** A call begins, with so many records or with these timers. */
  begin(count: number, timers: readonly string[] = []): void {
    this.count = count;
    this.movedBytes = 0;
    this.timers = [...timers];
  }

  /** So many bytes went between a component and its state. */
  moved(bytes: number): void {
    this.movedBytes += bytes;
  }

  /** What the guest writes from here on belongs to this record. Throws CallCut when the call ends before it. */
  enters(index: number): void {
    const { count, cell, host } = this;
    if (count < 0) return;
    if (index < 0 || index >= count) {
      throw new GuestFault('BAD_OUTPUT', `the module entered record ${index} of ${count}`);
    }
    if (index > 0 && this.movedBytes > MOST_MOVED) throw new CallCut(index);
    cell[CELL.record] = index;
    host.enters(index);
  }

  /** What it has written so far belongs to the record at hand: only that one can be failed. */
  checkFailed(index: number, code: string, reason: string): void {
    if (this.count <= 1 || index === this.cell[CELL.record]) return;
    throw new GuestFault(code, `${reason} (a module with state fails a record before it enters the next one)`);
  }

  private bounded(ptr: number, length: number): number {
    const from = ptr >>> 0;
    if (length >= 0 && from + length <= this.memory().length) return from;
    throw new GuestFault('BAD_STATE_CALL', "the module's call for its state lies outside of its memory");
  }

  private get buffer(): Buffer {
    const { buffer } = this.memory();
    if (this.view.buffer !== buffer) this.view = Buffer.from(buffer);
    return this.view;
  }
}
