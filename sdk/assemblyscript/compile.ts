import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main as compile } from 'assemblyscript/asc';

/*
 * Compiles a module written with the SDK. The author's file exports `transform` (and `configure`, `tombstones`); the
 * ABI's exports come from an entry file that is generated here, so that `transform` is called directly and inlined.
 * File names inside the compiler are virtual: the output depends on the sources and the compiler alone.
 */
const SDK = fileURLToPath(new URL('./assembly', import.meta.url));

const entry = (imports: readonly string[]): string => {
  const has = (prefix: string): boolean => imports.some(name => name.startsWith(prefix));
  // DESIGN 6: 1 reports progress, 2 takes tombstones, 4 state, 8 timers.
  const bits = 1 | (has('state_') ? 4 : 0) | (has('time') ? 8 : 0);
  return `
import * as author from "./assembly/index";
import * as sdk from "millstream/assembly/module";
export function millstream_abi_v1(): i32 {
  return isDefined(author.tombstones) ? ${bits | 2} : ${bits};
}
export function millstream_alloc(length: i32): usize {
  return sdk.allocate(length);
}
export function millstream_init(ptr: usize, length: i32): i32 {
  const config = sdk.readInit(ptr, length);
  let reason: string | null = null;
  if (isDefined(author.configure)) reason = author.configure(config);
  return sdk.ready(reason);
}
export function millstream_process(ptr: usize, length: i32): i64 {
  sdk.open(ptr, length);
  while (sdk.next()) author.transform(sdk.record, sdk.output);
  return sdk.close();
}
${
  has('timer_set')
    ? `export function millstream_flush(reason: i32): i64 {
  sdk.openFlush();
  while (sdk.nextTimer()) author.onTimer(sdk.record, sdk.output);
  return sdk.close();
}`
    : ''
}
`;
};

const FLAGS = ['--runtime', 'stub', '--enable', 'simd', '--use', 'abort=~lib/millstream/assembly/host/abort'];
const OPTIMIZED = ['-O3', '--noAssert'];

export interface CompileOptions {
  /** Names, line numbers and assertions in the output. Default false. */
  debug?: boolean;
}

/** Compiles `<folder>/assembly/index.ts`. Throws an Error whose message is what the compiler said. */
export async function compileModule(folder: string, options: CompileOptions = {}): Promise<Uint8Array> {
  const wasm = await compileWith(entry([]), folder, options);
  // What the module asks of the host is known once it is compiled: then it says so, and exports what is called for it.
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(wasm)).map(({ name }) => name);
  return imports.some(name => /^(state|time)/.test(name)) ? compileWith(entry(imports), folder, options) : wasm;
}

async function compileWith(source: string, folder: string, options: CompileOptions): Promise<Uint8Array> {
  const sdkPrefix = /^node_modules[\\/]millstream[\\/]assembly(?:[\\/]|(?=\.ts$))/;
  const read = async (name: string): Promise<string | null> => {
    if (name === 'entry.ts') return source;
    const path = sdkPrefix.test(name) ? join(SDK, name.replace(sdkPrefix, '')) : join(folder, name);
    if (!sdkPrefix.test(name) && !/^assembly[\\/]/.test(name)) return null;
    return readFile(path, 'utf8').catch(() => null);
  };
  let wasm: Uint8Array | null = null;
  let said = '';
  const write = (text: string | Uint8Array): void => {
    said += typeof text === 'string' ? text : Buffer.from(text).toString();
  };
  const { error } = await compile(
    ['entry.ts', '--outFile', 'module.wasm', ...FLAGS, ...(options.debug ? ['--debug'] : OPTIMIZED)],
    {
      readFile: read,
      writeFile: (name, contents) => {
        if (name === 'module.wasm') wasm = Buffer.from(contents);
      },
      listFiles: () => [],
      stdout: { write },
      stderr: { write },
    },
  );
  if (error || !wasm) throw new Error(said || String(error), { cause: error });
  return wasm;
}
