import { CELL, PHASE } from '../sandbox/cell.ts';
import { HOST_INTERFACE, type WorldExports } from './component.ts';
import { CAPABILITY, failureOf, refuseCapabilities } from './core.ts';
import { type Fuel, fuelOf } from './fuel.ts';
import { InputFrame, OutputFrame } from './frames.ts';
import { componentStateImports } from './component-state.ts';
import { GuestState } from './guest-state.ts';
import { GuestMemory } from './guest-memory.ts';
import { type Failure, type Guest, GuestFault, type GuestHost, type GuestSetup, InitRefused } from './guest.ts';
import { timerName, timerTime } from '../sandbox/state/step-state.ts';
import { callWith, emitAll, failureAt, type OnRecord } from './record-world.ts';

/*
 * Guests of the world `record-transform` (transform.wit), host side: each record is a call of its own, whose failure is
 * that record's. As with frames, the core module inside the component is run; no generated JavaScript.
 */

/** What only a guest of this world exports. */
export const ON_RECORD = 'on-record';
const LOG_LINE_BYTES = 1024;

interface RecordExports extends WorldExports {
  'on-record': OnRecord;
  'cabi_post_on-record'?(at: number): void;
  'on-timer'?(time: bigint, ptr: number, length: number): number;
  'cabi_post_on-timer'?(at: number): void;
}

export class RecordGuest implements Guest {
  readonly takesTombstones: boolean;
  readonly failures = new Map<number, Failure>();
  readonly lastWords = '';
  readonly reportsProgress = true;
  readonly callsForEachRecord = true;
  readonly fuel: Fuel | null;
  private readonly memory = new GuestMemory();
  private readonly output = new OutputFrame();
  private readonly host: GuestHost;
  private readonly routes: ReadonlyMap<string, number>;
  private readonly exports: RecordExports;
  private readonly state: GuestState | null;
  /** What `host.fail` said during the call under way. */
  private said: Failure | null = null;

  /** Instantiates and configures. Throws InitRefused, GuestFault or what V8 throws. */
  constructor(module: WebAssembly.Module, host: GuestHost, setup: GuestSetup, init: Uint8Array) {
    this.host = host;
    this.routes = new Map(setup.outputs.map(({ name }, route) => [name, route]));
    const { cell } = host;
    cell[CELL.phase] = PHASE.init;
    const { memory } = this;
    this.state = host.state ? new GuestState(host.state, cell, () => memory.bytes) : null;
    const { state } = this;
    const text = (ptr: number, length: number): string => memory.text(ptr, Math.min(length >>> 0, LOG_LINE_BYTES));
    const calls = {
      log: (level: number, ptr: number, length: number) => host.log(level, () => text(ptr, length)),
      progress: () => {},
      fail: (_: number, code: number, codeLength: number, reason: number, reasonLength: number) => {
        this.said ??= failureOf(text(code, codeLength), text(reason, reasonLength));
      },
    };
    const { exports } = new WebAssembly.Instance(module, {
      [HOST_INTERFACE]: calls,
      ...(state &&
        componentStateImports({
          state: () => state.step,
          memory,
          realloc: (...flat) => this.exports.cabi_realloc(...flat),
        })),
    });
    const guest = exports as unknown as RecordExports;
    this.exports = guest;
    this.fuel = fuelOf(exports, setup.fuel);
    memory.attach(guest.memory);
    guest['_initialize']?.();
    const bits = guest.capabilities();
    guest.cabi_post_capabilities?.(bits);
    const refusal = refuseCapabilities(bits);
    if (refusal) throw new InitRefused(refusal);
    this.takesTombstones = (bits & CAPABILITY.tombstones) !== 0;
    this.configure(init);
    cell[CELL.phase] = PHASE.host;
  }

  get memoryBytes(): number {
    return this.memory.size;
  }

  process(frame: Uint8Array, count: number): Uint8Array | null {
    const { cell } = this.host;
    const { output } = this;
    const records = new InputFrame(frame, count);
    this.failures.clear();
    this.state?.begin(count);
    output.begin(count);
    for (let i = 0; i < count; i++) {
      records.next();
      if (this.state) this.state.enters(i);
      else cell[CELL.record] = i;
      output.forRecord(i, records.bodyTo - records.bodyFrom);
      const failure = this.one(i, () => this.callRecord(records), 'cabi_post_on-record');
      if (failure) this.failures.set(i, failure);
    }
    return output.finish();
  }

  flush(timers: readonly string[]): Uint8Array | null {
    const { output, state } = this;
    this.failures.clear();
    state?.begin(timers.length, timers);
    // Timers of an older version may still come: as with the core ABI nothing is made of them.
    if (!this.exports['on-timer']) return null;
    output.begin(timers.length);
    for (const [i, timer] of timers.entries()) {
      state?.enters(i);
      output.forRecord(i, timer.length);
      const failure = this.one(i, () => this.callTimer(timer), 'cabi_post_on-timer');
      if (failure) this.failures.set(i, failure);
    }
    return output.finish();
  }

  close(): void {}

  private callRecord(record: InputFrame): number {
    const { exports, memory } = this;
    return callWith(record, memory, exports.cabi_realloc, exports[ON_RECORD]);
  }

  private callTimer(timer: string): number {
    const { exports, memory } = this;
    const name = Buffer.from(timerName(timer), 'latin1');
    const ptr = name.length === 0 ? 1 : exports.cabi_realloc(0, 0, 1, name.length) >>> 0;
    memory.at(ptr, name.length).set(name);
    return (exports['on-timer']?.(BigInt(timerTime(timer)), ptr, name.length) ?? 0) >>> 0;
  }

  private one(index: number, call: () => number, after: 'cabi_post_on-record' | 'cabi_post_on-timer'): Failure | null {
    const { exports, memory, output } = this;
    this.said = null;
    this.fuel?.fill();
    const at = call();
    const mark = output.mark();
    let failure = this.said as Failure | null;
    try {
      const failed = failureAt(memory, at);
      if (failed) failure ??= failureOf(failed.code, failed.reason);
      else {
        const unknown = emitAll(memory, at, output, name => this.routes.get(name) ?? -1);
        const reason = `the module sends records to "${unknown}", which is no output of this pipeline`;
        if (unknown !== null) failure ??= { code: 'UNKNOWN_OUTPUT', reason };
      }
    } catch (error) {
      if (!(error instanceof GuestFault) || error.record >= 0) throw error;
      throw new GuestFault(error.code, error.message, index);
    }
    exports[after]?.(at);
    if (failure) output.release(mark);
    return failure;
  }

  private configure(init: Uint8Array): void {
    const { exports, memory } = this;
    const ptr = exports.cabi_realloc(0, 0, 1, init.length);
    memory.at(ptr, init.length).set(init);
    const at = exports.configure(ptr, init.length) >>> 0;
    const from = memory.check(at, 12);
    const [isError, reason, length] = [0, 4, 8].map(offset => memory.view.getUint32(from + offset, true));
    if (((isError ?? 0) & 0xff) !== 0) {
      throw new InitRefused(`${memory.text(reason ?? 0, Math.min(length ?? 0, LOG_LINE_BYTES))} (INVALID_CONFIG)`);
    }
    exports.cabi_post_configure?.(at);
  }
}
