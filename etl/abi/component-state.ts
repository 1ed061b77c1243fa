import { REFUSAL, type StepState } from '../sandbox/state/step-state.ts';
import { GuestFault } from './guest.ts';
import type { GuestMemory } from './guest-memory.ts';
import type { Realloc } from './record-world.ts';

/*
 * The interfaces `state` and `timers` of transform.wit as the canonical ABI lowers them (Component Model, CanonicalABI.md,
 * "Flattening"): a result that is more than one word is stored where the last parameter says, little endian.
 *
 *   state.get(key, length, at)                       at: u8 some, [4] u32 ptr, [8] u32 length
 *   state.put(key, length, value, length, at)        at: u8 0: ok; u8 1: refused, [1] u8 refusal
 *   state.delete(key, length) -> u32                 1, or 0: there was none
 *   state.scan(prefix, length, some, after, length,  at: u32 ptr, [4] u32 count of entries of 16 bytes: u32 ptr, u32
 *     most, at)                                      length of the key, u32 ptr, u32 length of the value
 *   timers.set(time s64, key, length, at)            at: as of put
 *   timers.now() -> s64
 *
 * What is handed over is an allocation of its own, by cabi_realloc, and is the guest's from then on.
 */

export const STATE_INTERFACE = 'millstream:transform/state@1.0.0';
export const TIMERS_INTERFACE = 'millstream:transform/timers@1.0.0';

/** Parameters and results of the lowered functions, in wasm's own words. */
export const COMPONENT_STATE_IMPORTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  [STATE_INTERFACE]: {
    get: 'i32 i32 i32 -> ',
    put: 'i32 i32 i32 i32 i32 -> ',
    delete: 'i32 i32 -> i32',
    scan: 'i32 i32 i32 i32 i32 i32 i32 -> ',
  },
  [TIMERS_INTERFACE]: { set: 'i64 i32 i32 i32 -> ', now: ' -> i64' },
};

const ENTRY_BYTES = 16;
/** So much of a scan is handed over at once, whatever the guest asks for; the first entry always is. */
const SCAN_BYTES = 1024 * 1024;
/** The cases of the enum `refusal`, in its order. */
const REFUSALS: readonly number[] = [REFUSAL.key, REFUSAL.value, REFUSAL.full];

export interface ComponentStateAccess {
  /** The step's state. Throws GuestFault BAD_STATE_CALL while the module is being configured. */
  state(this: void): StepState;
  memory: GuestMemory;
  /** cabi_realloc of the instance. */
  realloc: Realloc;
  /** So many bytes went one way or the other. Left out: nobody counts them. */
  moved?(this: void, bytes: number): void;
}

/** The import functions by interface, for one instance. Pointers outside of the memory: GuestFault BAD_POINTER. */
export function componentStateImports({ state, memory, realloc, moved }: ComponentStateAccess) {
  const read = (ptr: number, length: number): string => {
    const from = memory.check(ptr, length >>> 0);
    moved?.(length >>> 0);
    return Buffer.from(memory.bytes.buffer, from, length >>> 0).toString('latin1');
  };
  const give = (text: string): [ptr: number, length: number] => {
    // An empty list lies nowhere, but not at null.
    if (text.length === 0) return [1, 0];
    moved?.(text.length);
    const ptr = realloc(0, 0, 1, text.length) >>> 0;
    const from = memory.check(ptr, text.length);
    Buffer.from(memory.bytes.buffer, from, text.length).write(text, 'latin1');
    return [ptr, text.length];
  };
  const store = (at: number, words: readonly number[]): void => {
    const from = memory.check(at, 4 * words.length);
    words.forEach((word, i) => memory.view.setUint32(from + 4 * i, word, true));
  };
  const answer = (at: number, refusal: number): void => {
    const from = memory.check(at, 2);
    memory.view.setUint8(from, refusal === 0 ? 0 : 1);
    memory.view.setUint8(from + 1, Math.max(REFUSALS.indexOf(refusal), 0));
  };
  return {
    [STATE_INTERFACE]: {
      get: (key: number, length: number, at: number): void => {
        const value = state().values.get(read(key, length));
        store(at, value === undefined ? [0, 0, 0] : [1, ...give(value)]);
      },
      put: (key: number, keyLength: number, value: number, length: number, at: number): void => {
        // Where the answer goes is looked at first: a call that cannot be answered has put nothing.
        memory.check(at, 2);
        answer(at, state().put(read(key, keyLength), read(value, length)));
      },
      delete: (key: number, length: number): number => {
        const { values } = state();
        const name = read(key, length);
        if (values.get(name) === undefined) return 0;
        values.set(name, undefined);
        return 1;
      },
      scan: (
        prefix: number,
        prefixLength: number,
        some: number,
        after: number,
        afterLength: number,
        most: number,
        at: number,
      ): void => {
        const behind = some === 0 ? null : read(after, afterLength);
        const entries = entriesOf(state(), read(prefix, prefixLength), behind, most >>> 0);
        if (entries.length === 0) return store(at, [4, 0]);
        const list = realloc(0, 0, 4, entries.length * ENTRY_BYTES) >>> 0;
        for (const [i, [key, value]] of entries.entries()) {
          store(list + i * ENTRY_BYTES, [...give(key), ...give(value)]);
        }
        store(at, [list, entries.length]);
      },
    },
    [TIMERS_INTERFACE]: {
      set: (time: bigint, key: number, length: number, at: number): void => {
        memory.check(at, 2);
        if (!(Math.abs(Number(time)) < 2 ** 52)) {
          throw new GuestFault('BAD_STATE_CALL', `the module set a timer to the impossible time ${time}`);
        }
        answer(at, state().setTimer(Number(time), read(key, length)));
      },
      now: (): bigint => BigInt(state().time),
    },
  };
}

/** Entries in byte order of their keys, behind `after`. */
function entriesOf(state: StepState, prefix: string, after: string | null, most: number): [string, string][] {
  const found: [string, string][] = [];
  let size = 0;
  for (const key of state.values.keysFrom(after !== null && after > prefix ? after : prefix)) {
    if (!key.startsWith(prefix) || found.length >= most) break;
    if (key === after) continue;
    const value = state.values.get(key) as string;
    size += ENTRY_BYTES + key.length + value.length;
    if (size > SCAN_BYTES && found.length > 0) break;
    found.push([key, value]);
  }
  return found;
}
