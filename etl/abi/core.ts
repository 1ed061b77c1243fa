import { CELL, PHASE } from '../sandbox/cell.ts';
import { asCore, HOST_INTERFACE, stateInterfaces } from './component.ts';
import type { CoreExports } from './core-functions.ts';
import { type Fuel, fuelOf, type FuelSetup } from './fuel.ts';
import { type Failure, type Guest, GuestFault, type GuestHost, type GuestSetup, InitRefused } from './guest.ts';
import { GuestState } from './guest-state.ts';
import { timersFrame } from './timers-frame.ts';

/*
 * Millstream's own ABI, version 1 (DESIGN 6), host side: one instance of one module.
 *
 * The guest exports memory, millstream_abi_v1, millstream_alloc, millstream_process and, if it wants, millstream_init
 * and millstream_flush; it may import log, progress and fail from `millstream`, and what state-imports.ts says. Whatever
 * it does wrong ends as a GuestFault or as V8's own error; after either the instance must not be used again.
 */

export const CAPABILITY = { progress: 1, tombstones: 2, state: 4, timers: 8 } as const;
/** What millstream_flush is called for. */
export const FLUSH_REASON = { timers: 1 } as const;
const LATER_CAPABILITIES: readonly [bit: number, name: string][] = [
  [16, 'secrets'],
  [32, 'schemas'],
];
const LOG_LINE_BYTES = 1024;
const REASON_BYTES = 1024;
const CODE_PATTERN = /^[A-Z][A-Z0-9_]{0,63}$/;

/** What a guest says about a record, with a code of the right form and a reason. */
export const failureOf = (code: string, reason: string): Failure => ({
  code: CODE_PATTERN.test(code) ? code : 'FAILED',
  reason: reason || 'the module gave no reason',
});

/** Why these capability bits cannot be given, or null. */
export function refuseCapabilities(bits: number): string | null {
  for (const [bit, name] of LATER_CAPABILITIES) {
    if ((bits & bit) !== 0)
      return `the module requires capability ${bit} (${name}), which this version does not give yet`;
  }
  const unknown = bits & ~0x3f;
  return unknown === 0 ? null : `the module requires unknown capability bits (${bits >>> 0})`;
}

/** What millstream_init is given: a JSON object, so that more can be added to it. */
export function initJson({ config, outputs, topic, partition, step }: GuestSetup): Uint8Array {
  const names = outputs.map(output => output.name);
  return Buffer.from(JSON.stringify({ config: config ?? {}, outputs: names, topic, partition, step }));
}

export class CoreGuest implements Guest {
  /** It says why by `fail`. */
  readonly lastWords = '';
  readonly capabilities: number;
  readonly fuel: Fuel | null;
  /** What `fail` said during the last call, by input index. */
  readonly failures = new Map<number, Failure>();
  private readonly exports: CoreExports;
  private readonly onTimers: CoreExports['onTimers'];
  private readonly host: GuestHost;
  private bytes: Uint8Array<ArrayBuffer>;
  /** How many records the call under way has; -1 during init. */
  private count = -1;
  reportsProgress = false;
  private readonly state: GuestState | null;

  /** Instantiates and initialises. Throws InitRefused, GuestFault or what V8 throws. */
  constructor(module: WebAssembly.Module, host: GuestHost, init: Uint8Array, fuel: FuelSetup | null = null) {
    this.host = host;
    this.bytes = new Uint8Array(0);
    const { cell } = host;
    cell[CELL.phase] = PHASE.init;
    this.state = host.state ? new GuestState(host.state, cell, () => this.memory()) : null;
    const { state } = this;
    const calls = {
      log: (level: number, ptr: number, length: number) => this.log(level, ptr, length),
      progress: state
        ? (index: number) => {
            if (this.reportsProgress) state.enters(index);
          }
        : (index: number) => {
            if (this.reportsProgress) cell[CELL.record] = index;
          },
      fail: (i: number, code: number, codeLength: number, text: number, textLength: number) =>
        this.fail(i, this.text(code, codeLength, 64), this.text(text, textLength, REASON_BYTES)),
      ...state?.imports,
    };
    const interfaces = state && stateInterfaces(state);
    const imports = { millstream: calls, [HOST_INTERFACE]: calls, ...interfaces?.imports };
    const instance = new WebAssembly.Instance(module, imports);
    interfaces?.attach(instance.exports);
    const isComponent = 'on-frame' in instance.exports;
    this.fuel = fuelOf(instance.exports, fuel);
    this.exports = asCore(instance.exports, reason =>
      this.fail(-1, this.count < 0 ? 'INVALID_CONFIG' : 'FAILED', reason),
    );
    // A core module may export what it likes under that name.
    this.onTimers = isComponent ? this.exports.onTimers : undefined;
    this.capabilities = this.exports.millstream_abi_v1();
    const refusal = refuseCapabilities(this.capabilities);
    if (refusal) throw new InitRefused(refusal);
    // What a component asks for stands in its world.
    const saysIt = CAPABILITY.state | CAPABILITY.timers;
    if (state && !isComponent && (this.capabilities & saysIt) === 0) {
      throw new InitRefused('the module keeps state and does not say so: it lacks capability 4 (state)');
    }
    this.reportsProgress = (this.capabilities & CAPABILITY.progress) !== 0;
    if (this.exports.millstream_init) {
      const status = this.exports.millstream_init(this.write(init), init.length);
      if (status !== 0) {
        const said = this.failures.get(-1);
        throw new InitRefused(said ? `${said.reason} (${said.code})` : `millstream_init returned ${status}`);
      }
    }
    this.failures.clear();
    cell[CELL.phase] = PHASE.host;
  }

  get takesTombstones(): boolean {
    return (this.capabilities & CAPABILITY.tombstones) !== 0;
  }

  get memoryBytes(): number {
    return this.exports.memory.buffer.byteLength;
  }

  /**
   * One call: gives the frame to the guest and returns a view of what came out, in the guest's memory and gone with the
   * next call; null when nothing did. `most` is checked before anything is copied.
   */
  process(frame: Uint8Array, count: number, most: number): Uint8Array | null {
    this.count = count;
    if (this.failures.size > 0) this.failures.clear();
    this.state?.begin(count);
    this.fuel?.fill();
    const ptr = this.write(frame);
    return this.output(this.exports.millstream_process(ptr, frame.length), frame.length, most);
  }

  flush(timers: readonly string[], most: number): Uint8Array | null {
    this.count = timers.length;
    if (this.failures.size > 0) this.failures.clear();
    this.state?.begin(timers.length, timers);
    this.fuel?.fill();
    const size = timers.reduce((sum, timer) => sum + timer.length, 0);
    const { exports, onTimers } = this;
    if (!onTimers) return this.output(exports.millstream_flush?.(FLUSH_REASON.timers) ?? 0n, size, most);
    const frame = timersFrame(timers);
    return this.output(onTimers(this.write(frame), frame.length), size, most);
  }

  private output(result: bigint, inputBytes: number, most: number): Uint8Array | null {
    if (result === 0n) return null;
    const at = Number((result >> 32n) & 0xffffffffn);
    const length = Number(result & 0xffffffffn);
    const memory = this.memory();
    if (at + length > memory.length) {
      throw new GuestFault(
        'BAD_OUTPUT',
        `the output frame (${length} bytes at ${at}) lies outside of the module's memory`,
      );
    }
    if (length > most) {
      throw new GuestFault(
        'OUTPUT_TOO_LARGE',
        `the module gave ${length} bytes for an input of ${inputBytes}; ${most} are allowed`,
      );
    }
    return memory.subarray(at, at + length);
  }

  close(): void {}

  private write(bytes: Uint8Array): number {
    const ptr = this.exports.millstream_alloc(bytes.length) >>> 0;
    const memory = this.memory();
    if (ptr === 0 || ptr + bytes.length > memory.length) {
      throw new GuestFault('MEMORY_LIMIT', `the module has no room for an input of ${bytes.length} bytes`);
    }
    memory.set(bytes, ptr);
    return ptr;
  }

  private memory(): Uint8Array<ArrayBuffer> {
    if (this.bytes.length === 0) this.bytes = new Uint8Array(this.exports.memory.buffer);
    return this.bytes;
  }

  private text(ptr: number, length: number, most: number): string {
    const from = ptr >>> 0;
    const memory = this.memory();
    if (from + (length >>> 0) > memory.length) {
      throw new GuestFault('BAD_OUTPUT', 'the module handed over text that lies outside of its memory');
    }
    return Buffer.from(memory.buffer, from, Math.min(length >>> 0, most)).toString();
  }

  private log(level: number, ptr: number, length: number): void {
    this.host.log(level, () => this.text(ptr, length, LOG_LINE_BYTES));
  }

  private fail(index: number, saidCode: string, saidReason: string): void {
    const { code, reason } = failureOf(saidCode, saidReason);
    const starting = this.count < 0;
    // Outside of init, -1 is the call as a whole.
    if (index === -1 && !starting) throw new GuestFault(code, reason);
    if (index < -1 || (!starting && index >= this.count)) {
      throw new GuestFault('BAD_OUTPUT', `the module failed record ${index} of ${this.count}`);
    }
    if (!starting) this.state?.checkFailed(index, code, reason);
    if (!this.failures.has(index)) this.failures.set(index, { code, reason });
  }
}
