/** The part of the WebAssembly JavaScript API that the sandbox uses; TypeScript ships it with the browser's types only. */
declare namespace WebAssembly {
  interface Module {
    readonly [Symbol.toStringTag]: 'WebAssembly.Module';
  }
  const Module: {
    new (bytes: Uint8Array): Module;
    imports(module: Module): { module: string; name: string; kind: string }[];
    exports(module: Module): { name: string; kind: string }[];
  };
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
  /** JavaScript Promise Integration: a guest that calls this import stands still until the promise is settled. */
  const Suspending: new (fn: (...args: number[]) => Promise<number>) => object;
  /** ... and this is how such a guest's export is called: the promise is settled when it returns or throws. */
  function promising(fn: () => void): () => Promise<void>;
}
