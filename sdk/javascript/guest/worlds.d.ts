/** What guests of the worlds frame-transform import (etl/abi/transform.wit). */
declare module 'millstream:transform/host@1.0.0' {
  export function log(level: number, message: string): void;
  export function progress(index: number): void;
  export function fail(index: number, code: string, reason: string): void;
}

/** And those of modules with state and timers. */
declare module 'millstream:transform/state@1.0.0' {
  export function get(key: Uint8Array): Uint8Array | undefined;
  export function put(key: Uint8Array, value: Uint8Array): void;
  function remove(key: Uint8Array): boolean;
  export { remove as delete };
  export function scan(
    prefix: Uint8Array,
    after: Uint8Array | undefined,
    most: number,
  ): [key: Uint8Array, value: Uint8Array][];
}
declare module 'millstream:transform/timers@1.0.0' {
  export function set(time: bigint, key: Uint8Array): void;
  export function now(): bigint;
}
