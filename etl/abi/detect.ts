import { refused } from '../sandbox/errors.ts';
import type { ModuleShape } from '../sandbox/module-shape.ts';
import type { Abi } from '../sandbox/sandbox.ts';
import { hasWorld, worldOf } from './component-binary.ts';
import { CORE_EXPORTS, CORE_IMPORTS, CORE_OPTIONAL_EXPORTS } from './core-functions.ts';
import { COPY_RECORDS, TRANSFORM_TYPE, TRANSFORMS } from './fluvio.ts';
import { TRANSFORM, TRANSFORM_IMPORTS } from './redpanda.ts';
import { REGISTRY, REGISTRY_IMPORTS } from './schema-registry.ts';
import { WASI, WASI_FUNCTIONS } from './wasi-functions.ts';

/** What a module is, and which of its ABI's forms: a version, or the kind of transform. */
export interface Detected {
  abi: Abi;
  form: string | null;
}

type Functions = Readonly<Record<string, string>>;
const CHECK_VERSION = /^check_abi_version_(\d+)$/;

/** Which ABI a module speaks. Throws kind `invalid`, code MODULE_REFUSED when it is none that we run. */
export function detectAbi(shape: ModuleShape): Detected {
  const { imports, exports } = shape;
  if (imports.some(i => i.module === TRANSFORM)) return checkRedpanda(shape);
  const transform = TRANSFORMS.find(name => exports.has(name));
  if (transform !== undefined && imports.some(i => i.name === COPY_RECORDS.name)) {
    checkFluvio(shape, transform);
    return { abi: 'fluvio', form: transform };
  }
  if (exports.has('millstream_abi_v1')) {
    checkImports(shape, { millstream: CORE_IMPORTS });
    checkMemory(shape);
    for (const [name, type] of Object.entries(CORE_EXPORTS)) {
      if (type !== null) checkExport(shape, name, type);
    }
    for (const [name, type] of Object.entries(CORE_OPTIONAL_EXPORTS)) checkExport(shape, name, type, true);
    checkFlush(shape);
    return { abi: 'millstream-core', form: null };
  }
  if (hasWorld(shape)) return { abi: 'millstream-component', form: worldOf(shape) };
  const found = `it exports ${some([...exports.keys()])} and imports ${some(imports.map(i => `${i.module}.${i.name}`))}`;
  throw refused(
    `it speaks no ABI that is known here: ${found}; a module exports millstream_abi_v1, a Redpanda transform imports ${TRANSFORM}.check_abi_version_2, a Fluvio SmartModule imports ${COPY_RECORDS.name} and exports one of ${TRANSFORMS.join(', ')}`,
  );
}

function checkFlush({ imports, exports }: ModuleShape): void {
  const timer = imports.find(({ name }) => name === 'timer_set' || name === 'timer_next');
  if (!timer || exports.has('millstream_flush')) return;
  throw refused(`it imports "millstream.${timer.name}" and does not export "millstream_flush", which timers call`);
}

function checkRedpanda(shape: ModuleShape): Detected {
  const versions = shape.imports.flatMap(({ module, name }) => {
    const version = module === TRANSFORM ? CHECK_VERSION.exec(name)?.[1] : undefined;
    return version === undefined ? [] : [Number(version)];
  });
  if (versions.length === 0) throw refused(`it is a Redpanda transform that does not say which ABI it speaks`);
  const unknown = versions.find(version => version !== 1 && version !== 2);
  if (unknown !== undefined) throw refused(`it is a Redpanda transform of ABI ${unknown}; 1 and 2 are run`);
  checkImports(shape, { [TRANSFORM]: TRANSFORM_IMPORTS, [REGISTRY]: REGISTRY_IMPORTS, [WASI]: WASI_FUNCTIONS });
  checkMemory(shape);
  checkExport(shape, '_start', ' -> ');
  return { abi: 'redpanda', form: `ABI ${Math.max(...versions)}` };
}

function checkFluvio(shape: ModuleShape, transform: string): void {
  const copying = shape.imports.filter(i => i.name === COPY_RECORDS.name && i.module !== WASI);
  const froms = Object.fromEntries(copying.map(({ module }) => [module, { [COPY_RECORDS.name]: COPY_RECORDS.type }]));
  checkImports(shape, { ...froms, [WASI]: WASI_FUNCTIONS });
  checkMemory(shape);
  checkExport(shape, 'alloc', 'i32 -> i32');
  checkExport(shape, transform, TRANSFORM_TYPE);
  for (const name of ['init', 'look_back']) checkExport(shape, name, TRANSFORM_TYPE, true);
}

/** Every import is there and has its type: a stub would hide what is missing until a record needs it. */
function checkImports({ imports }: ModuleShape, given: Readonly<Record<string, Functions>>): void {
  for (const { module, name, type } of imports) {
    const functions = Object.hasOwn(given, module) ? given[module] : undefined;
    const known = functions && Object.hasOwn(functions, name) ? functions[name] : undefined;
    if (known === undefined) {
      const [from, all] = functions ? [module, functions] : (Object.entries(given)[0] as [string, Functions]);
      throw refused(
        `it imports "${module}.${name}", which does not exist; from "${from}" there are ${some(Object.keys(all))}`,
      );
    }
    if (type !== known) throw refused(`it imports "${module}.${name}" as (${type}); it is (${known})`);
  }
}

function checkMemory({ exports, memory }: ModuleShape): void {
  if (!memory) throw refused('it has no memory; it must have one and export it as "memory"');
  const found = exports.get('memory');
  if (found === undefined) throw refused('it does not export "memory"');
  if (found !== null) throw refused(`its export "memory" is (${found}); it must be (the memory)`);
}

function checkExport({ exports }: ModuleShape, name: string, type: string, optional = false): void {
  const found = exports.get(name);
  if (found === undefined) {
    if (optional) return;
    throw refused(`it does not export "${name}"`);
  }
  if (found !== type) throw refused(`its export "${name}" is (${found ?? 'no function'}); it must be (${type})`);
}

function some(names: string[]): string {
  if (names.length === 0) return 'nothing';
  return names.slice(0, 6).join(', ') + (names.length > 6 ? `, and ${names.length - 6} more` : '');
}
