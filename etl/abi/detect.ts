import type { ModuleShape } from '../sandbox/module-shape.ts';
import { refused } from '../sandbox/errors.ts';
import type { Abi } from '../sandbox/sandbox.ts';
import { CORE_EXPORTS, CORE_IMPORTS } from './core-functions.ts';

const FLUVIO_TRANSFORMS = ['filter', 'map', 'filter_map', 'array_map', 'aggregate'];

/** Which ABI a module speaks. Throws kind `invalid`, code MODULE_REFUSED when it is none that we run. */
export function detectAbi(shape: ModuleShape): Abi {
  const { imports, exports } = shape;
  if (imports.some(i => i.module === 'redpanda_transform' && i.name.startsWith('check_abi_version_'))) {
    throw refused('it is a Redpanda data transform; these are not run yet');
  }
  if (
    imports.some(i => i.name === 'copy_records') &&
    exports.has('alloc') &&
    FLUVIO_TRANSFORMS.some(t => exports.has(t))
  ) {
    throw refused('it is a Fluvio SmartModule; these are not run yet');
  }
  if (exports.has('millstream_abi_v1')) {
    checkCore(shape);
    return 'millstream-core';
  }
  throw refused(
    `it speaks no ABI that is known here: it exports ${some([...exports.keys()])} and imports ${some(imports.map(i => `${i.module}.${i.name}`))}; a module exports millstream_abi_v1`,
  );
}

function checkCore({ imports, exports, memory }: ModuleShape): void {
  for (const { module, name, type } of imports) {
    const known = module === 'millstream' ? CORE_IMPORTS[name] : undefined;
    if (known === undefined) {
      const allowed = Object.keys(CORE_IMPORTS).join(', ');
      throw refused(`it imports "${module}.${name}", which does not exist; from "millstream" there are ${allowed}`);
    }
    if (type !== known) throw refused(`it imports "millstream.${name}" as (${type}); it is (${known})`);
  }
  if (!memory) throw refused('it has no memory; it must have one and export it as "memory"');
  for (const [name, type] of Object.entries(CORE_EXPORTS)) {
    const found = exports.get(name);
    if (found === undefined) throw refused(`it does not export "${name}"`);
    if (found !== type)
      throw refused(`its export "${name}" is (${found ?? 'no function'}); it must be (${type ?? 'the memory'})`);
  }
  const init = exports.get('millstream_init');
  if (init !== undefined && init !== 'i32 i32 -> i32') {
    throw refused(`its export "millstream_init" is (${init ?? 'no function'}); it must be (i32 i32 -> i32)`);
  }
}

function some(names: string[]): string {
  if (names.length === 0) return 'nothing';
  return names.slice(0, 6).join(', ') + (names.length > 6 ? `, and ${names.length - 6} more` : '');
}
