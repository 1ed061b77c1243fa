/** The part of the WebAssembly JavaScript API that the sandbox uses; TypeScript ships it with the browser's types only. */
declare namespace WebAssembly {
  interface Module {
    readonly [Symbol.toStringTag]: 'WebAssembly.Module';
  }
  const Module: new (bytes: Uint8Array) => Module;
  class Instance {
    constructor(module: Module, imports?: Record<string, Record<string, unknown>>);
    readonly exports: Record<string, unknown>;
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number });
    readonly buffer: ArrayBuffer;
  }
  interface Global {
    readonly value: number;
  }
  class RuntimeError extends Error {}
  function validate(bytes: Uint8Array): boolean;
}
