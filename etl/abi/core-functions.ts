import { STATE_IMPORTS, TIMER_IMPORTS } from './state-imports.ts';

/* The functions on both sides of the core ABI (DESIGN 6). */

export interface CoreExports {
  memory: WebAssembly.Memory;
  millstream_abi_v1(): number;
  millstream_alloc(length: number): number;
  millstream_init?(ptr: number, length: number): number;
  millstream_process(ptr: number, length: number): bigint;
  millstream_flush?(reason: number): bigint;
  /** Components take the timers that have come as a frame. */
  onTimers?(this: void, ptr: number, length: number): bigint;
}

/** The functions a module may import from `millstream`: parameters and results in wasm's own words. */
export const CORE_IMPORTS: Readonly<Record<string, string>> = {
  log: 'i32 i32 i32 -> ',
  progress: 'i32 -> ',
  fail: 'i32 i32 i32 i32 i32 -> ',
  ...STATE_IMPORTS,
  ...TIMER_IMPORTS,
};

/** What the ABI asks a module to export, in the same words; null: not a function. */
export const CORE_EXPORTS: Readonly<Record<string, string | null>> = {
  memory: null,
  millstream_abi_v1: ' -> i32',
  millstream_alloc: 'i32 -> i32',
  millstream_process: 'i32 i32 -> i64',
};

/** Of those it may export. */
export const CORE_OPTIONAL_EXPORTS: Readonly<Record<string, string>> = {
  millstream_init: 'i32 i32 -> i32',
  millstream_flush: 'i32 -> i64',
};
