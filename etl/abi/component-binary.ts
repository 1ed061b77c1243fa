import { refused } from '../sandbox/errors.ts';
import { type ModuleShape, readShape } from '../sandbox/module-shape.ts';
import { WasmDamage, WasmReader } from '../sandbox/wasm-reader.ts';
import { HOST_INTERFACE } from './component.ts';
import { COMPONENT_STATE_IMPORTS, TIMERS_INTERFACE } from './component-state.ts';
import { CORE_IMPORTS } from './core-functions.ts';

/*
 * A component (Component Model, Binary.md) is a wrapping: its sections are id, size, contents, and those with id 1 are
 * core modules. Tools that make a component of one program (componentize-js, wit-bindgen) put in one module that does the
 * work, and small ones without memory that only join functions. The first is taken out and run as any module is.
 */

const CORE_MODULE_SECTION = 1;
const MAX_CORE_MODULES = 64;
const EXPORTS: Readonly<Record<string, string | null>> = {
  memory: null,
  cabi_realloc: 'i32 i32 i32 i32 -> i32',
  capabilities: ' -> i32',
  configure: 'i32 i32 -> i32',
};
/** By what each world exports besides. */
const WORLDS: Readonly<Record<string, { name: string; type: string; timers: { name: string; type: string } }>> = {
  'on-frame': {
    name: 'frame-transform',
    type: 'i32 i32 -> i32',
    timers: { name: 'on-timers', type: 'i32 i32 -> i32' },
  },
  'on-record': {
    name: 'record-transform',
    type: 'i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 -> i32',
    timers: { name: 'on-timer', type: 'i64 i32 i32 -> i32' },
  },
};
/** What guests of these worlds may call. */
const IMPORTS = ['log', 'progress', 'fail'];

export function isComponent(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, 8)).equals(Buffer.from('0061736d0d000100', 'hex'));
}

/** The core module that does the component's work. Throws kind `invalid`, code MODULE_REFUSED. */
export function coreOfComponent(bytes: Uint8Array): Uint8Array {
  const working = coreModules(bytes).filter(core => {
    const shape = readShape(core, 'part');
    return shape.memory !== null || hasWorld(shape);
  });
  const [core] = working;
  if (core === undefined || working.length > 1) {
    throw refused(`it is a WebAssembly component of ${working.length} working core modules; one is run`);
  }
  worldOf(readShape(core));
  return core;
}

/** The name of the world whose guest this core module is; it need not be wrapped. Throws kind `invalid`, code MODULE_REFUSED. */
export function worldOf({ imports, exports }: ModuleShape): string {
  const [call, world] = Object.entries(WORLDS).find(([name]) => exports.has(name)) ?? [];
  if (call === undefined || world === undefined) {
    throw refused(
      `it exports neither ${Object.keys(WORLDS).join(' nor ')}; the worlds of millstream:transform@1.0.0 are ${Object.values(
        WORLDS,
      )
        .map(({ name }) => name)
        .join(' and ')}`,
    );
  }
  for (const [name, type] of Object.entries({ ...EXPORTS, [call]: world.type })) {
    const found = exports.get(name);
    if (found === undefined) throw refused(`it is a guest of ${world.name} without \`${name}\``);
    if (found !== type)
      throw refused(`its \`${name}\` is (${found ?? 'no function'}); it must be (${type ?? 'the memory'})`);
  }
  for (const { module, name, type } of imports) {
    const own = COMPONENT_STATE_IMPORTS[module]?.[name];
    const known = module === HOST_INTERFACE && IMPORTS.includes(name) ? CORE_IMPORTS[name] : own;
    if (known === undefined) {
      throw refused(`it imports \`${module}\`.${name}; from ${HOST_INTERFACE} there are ${IMPORTS.join(', ')}`);
    }
    if (type !== known) throw refused(`it imports \`${module}\`.${name} as (${type}); it is (${known})`);
  }
  checkTimers(world.timers, imports, exports);
  return world.name;
}

function checkTimers(
  { name: call, type }: { name: string; type: string },
  imports: ModuleShape['imports'],
  exports: ModuleShape['exports'],
): void {
  const found = exports.get(call);
  if (found !== undefined && found !== type) {
    throw refused(`its \`${call}\` is (${found ?? 'no function'}); it must be (${type})`);
  }
  if (found !== undefined || !imports.some(({ module, name }) => module === TIMERS_INTERFACE && name === 'set')) return;
  throw refused(`it imports \`${TIMERS_INTERFACE}\`.set and does not export \`${call}\`, which timers call`);
}

/** Does it look like a guest of one of the worlds? */
export const hasWorld = ({ exports }: ModuleShape): boolean => Object.keys(WORLDS).some(name => exports.has(name));

function coreModules(bytes: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  try {
    const input = new WasmReader(bytes, 8);
    while (!input.done) {
      const id = input.byte();
      const { at, end } = input.part(input.u32());
      if (id !== CORE_MODULE_SECTION) continue;
      if (found.length === MAX_CORE_MODULES) throw refused(`it has more than ${MAX_CORE_MODULES} core modules`);
      found.push(bytes.subarray(at, end));
    }
  } catch (error) {
    if (error instanceof WasmDamage) throw refused(`it is no sound WebAssembly component: ${error.message}`, error);
    throw error;
  }
  return found;
}
