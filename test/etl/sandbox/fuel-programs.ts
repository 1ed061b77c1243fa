import { leb } from '../../../etl/sandbox/wasm-reader.ts';
import { meter } from '../../../etl/sandbox/fuel/meter.ts';
import { assemble } from './guests.ts';

/* Small modules that are metered and run on this thread, without a sandbox. */

export const FULL = 1_000_000n;

/** What a function gave, and how much of its fuel it used; `spent`: it was stopped for that. */
export interface Run {
  result: unknown;
  used: number;
  spent: boolean;
}

/** The last export, as the host finds it. */
export function fuelIn(module: WebAssembly.Module, exports: Record<string, unknown>): { value: bigint } {
  return exports[WebAssembly.Module.exports(module).at(-1)?.name ?? ''] as { value: bigint };
}

/** Instantiates metered bytes; each export is called with so much fuel. */
export function meteredProgram(bytes: Uint8Array, find?: Parameters<typeof meter>[1]) {
  const module = new WebAssembly.Module(meter(bytes, find));
  const { exports } = new WebAssembly.Instance(module);
  const fuel = fuelIn(module, exports);
  return (name: string, args: unknown[] = [], full = FULL): Run => {
    fuel.value = full;
    try {
      const result = (exports[name] as (...all: unknown[]) => unknown)(...args);
      return { result, used: Number(full - fuel.value), spent: false };
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      return { result: error.message, used: Number(full - fuel.value), spent: fuel.value < 0n };
    }
  };
}

export const program = (text: string) => meteredProgram(assemble(`(module ${text})`));

export const PREAMBLE: readonly number[] = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

/** A section of a module: id, size, contents. */
export const section = (id: number, contents: readonly number[]): number[] => [
  id,
  ...leb(contents.length),
  ...contents,
];

/** The module of one function, () -> () with a local of i32, exported as "f", by bytes. */
export function moduleOfBody(
  instructions: readonly number[],
  parts: { types?: number[]; beforeExports?: number[]; beforeCode?: number[]; behind?: number[] } = {},
): Uint8Array {
  const body = [1, 1, 0x7f, ...instructions, 0x0b];
  return Uint8Array.from([
    ...PREAMBLE,
    ...section(1, [1, ...(parts.types ?? [0x60, 0, 0])]),
    ...section(3, [1, 0]),
    ...(parts.beforeExports ?? []),
    ...section(7, [1, 1, 0x66, 0, 0]),
    ...(parts.beforeCode ?? []),
    ...section(10, [1, ...leb(body.length), ...body]),
    ...(parts.behind ?? []),
  ]);
}
