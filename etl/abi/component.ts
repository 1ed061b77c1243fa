import { componentStateImports } from './component-state.ts';
import type { CoreExports } from './core-functions.ts';
import { GuestMemory } from './guest-memory.ts';
import type { GuestState } from './guest-state.ts';

/*
 * Components of the world `frame-transform` in transform.wit: the core ABI in other words. Their core module is driven by
 * the canonical ABI (Component Model, CanonicalABI.md): its functions have the names of the world, and the host's
 * functions the very signatures of the core ABI. So memory, tables and imports are bounded as for any module, and no
 * generated JavaScript runs in this process.
 *
 *   capabilities() -> bits
 *   configure(ptr, length) -> at    at: u8 0; or u8 1, [4] u32 ptr, [8] u32 length of the reason
 *   on-frame(ptr, length) -> at     at: u8 0, [4] u32 ptr, [8] u32 length of the output; or u8 1 and a reason likewise
 *   on-timers(ptr, length) -> at    as on-frame
 *   cabi_realloc(0, 0, align, length) -> ptr; cabi_post_NAME(result) gives back what NAME returned
 */

export const HOST_INTERFACE = 'millstream:transform/host@1.0.0';

/** What both worlds export. */
export interface WorldExports {
  memory: WebAssembly.Memory;
  ['_initialize']?(): void;
  capabilities(): number;
  cabi_post_capabilities?(bits: number): void;
  cabi_realloc(this: void, old: number, oldLength: number, align: number, length: number): number;
  configure(ptr: number, length: number): number;
  cabi_post_configure?(at: number): void;
}

interface FrameExports extends WorldExports {
  'on-frame'(ptr: number, length: number): number;
  'cabi_post_on-frame'?(at: number): void;
  'on-timers'?(ptr: number, length: number): number;
  'cabi_post_on-timers'?(at: number): void;
}

/** The interfaces of state and timers, and how they learn of the instance that they are made for. */
export function stateInterfaces(state: GuestState) {
  const memory = new GuestMemory();
  let guest: Pick<WorldExports, 'cabi_realloc'> | null = null;
  return {
    imports: componentStateImports({
      state: () => state.step,
      memory,
      moved: bytes => state.moved(bytes),
      realloc: (...flat) => (guest as WorldExports).cabi_realloc(...flat),
    }),
    attach(exports: Record<string, unknown>): void {
      guest = exports as unknown as WorldExports;
      memory.attach((exports as unknown as WorldExports).memory);
    },
  };
}

/** What the world exports, as what the core ABI exports. `failed(text)` takes the error of a result. */
export function asCore(instance: Record<string, unknown>, failed: (reason: string) => void): CoreExports {
  if (!('on-frame' in instance)) return instance as unknown as CoreExports;
  const guest = instance as unknown as FrameExports;
  const { memory } = guest;
  /** Gives back what the last call returned. */
  let giveBack: (() => void) | null = null;
  /** result<…, string>: the two words behind an ok; null: an error, which was told. */
  const take = (at: number): [first: number, second: number] | null => {
    const view = new DataView(memory.buffer);
    const [first, second] = [view.getUint32(at + 4, true), view.getUint32(at + 8, true)];
    if (view.getUint8(at) === 0) return [first, second];
    failed(Buffer.from(memory.buffer, first, Math.min(second, 1024)).toString());
    return null;
  };
  /** Where the output of a call lies, as the core ABI says it. */
  const output = (at: number, post: ((at: number) => void) | undefined): bigint => {
    giveBack = () => post?.(at);
    const place = take(at);
    return place && place[1] > 0 ? (BigInt(place[0]) << 32n) | BigInt(place[1]) : 0n;
  };
  guest['_initialize']?.();
  const onTimers = guest['on-timers'];
  return {
    memory,
    millstream_abi_v1: () => {
      const bits = guest.capabilities();
      guest.cabi_post_capabilities?.(bits);
      return bits;
    },
    millstream_alloc: length => {
      // What the last call returned is the guest's again.
      giveBack?.();
      giveBack = null;
      return guest.cabi_realloc(0, 0, 1, length);
    },
    millstream_init: (ptr, length) => {
      const at = guest.configure(ptr, length) >>> 0;
      const isReady = take(at) !== null;
      guest.cabi_post_configure?.(at);
      return isReady ? 0 : 1;
    },
    millstream_process: (ptr, length) => output(guest['on-frame'](ptr, length) >>> 0, guest['cabi_post_on-frame']),
    ...(onTimers && {
      onTimers: (ptr: number, length: number) => output(onTimers(ptr, length) >>> 0, guest['cabi_post_on-timers']),
    }),
  };
}
