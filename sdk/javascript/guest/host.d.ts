/** What the world frame-transform imports (etl/abi/transform.wit). */
declare module 'millstream:transform/host@1.0.0' {
  export function log(level: number, message: string): void;
  export function progress(index: number): void;
  export function fail(index: number, code: string, reason: string): void;
}
