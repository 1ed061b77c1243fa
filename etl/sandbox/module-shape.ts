import { refused } from './errors.ts';
import { WasmDamage, WasmReader } from './wasm-reader.ts';

/*
 * Reads a module without running it and refuses what could harm the process: V8 checks that a module is sound, not that
 * it is modest. A table or a garbage-collected heap that grows without bound ends the whole process, so both are looked
 * for here. Sections (WebAssembly core specification 5.5): id, size, contents; all but the custom ones in this order.
 */
export const MAX_MODULE_BYTES = 32 * 1024 * 1024;
/** Elements of all tables together. */
export const MAX_TABLE_ELEMENTS = 65_536;
const MAX_TYPES = 100_000;
const MAX_IMPORTS = 10_000;
const MAX_EXPORTS = 100_000;
const SECTION_ORDER = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];
const VALUE_TYPES: Readonly<Record<number, string>> = {
  0x7f: 'i32',
  0x7e: 'i64',
  0x7d: 'f32',
  0x7c: 'f64',
  0x7b: 'v128',
  0x70: 'funcref',
  0x6f: 'externref',
};

export interface Limits {
  min: number;
  max: number | null;
}

export interface ImportedFunction {
  module: string;
  name: string;
  /** `params -> results`, e.g. `i32 i32 -> i64`. */
  type: string;
}

export interface Section {
  id: number;
  /** Of the section's contents. */
  from: number;
  to: number;
}

export interface ModuleShape {
  sections: Section[];
  imports: ImportedFunction[];
  /** Function types by export name; null for anything else. */
  exports: Map<string, string | null>;
  memory: Limits | null;
  tables: { type: number; limits: Limits }[];
}

/** The parts of a module that decide about it. A `part` of a component may import what another part has. */
export function readShape(bytes: Uint8Array, what: 'whole' | 'part' = 'whole'): ModuleShape {
  if (bytes.length > MAX_MODULE_BYTES) {
    throw refused(`it has ${bytes.length} bytes, at most ${MAX_MODULE_BYTES} (32 MiB) are allowed`);
  }
  checkPreamble(bytes);
  try {
    return new ShapeReader(bytes, what === 'part').read();
  } catch (error) {
    if (error instanceof WasmDamage) throw refused(`it is no sound WebAssembly module: ${error.message}`, error);
    throw error;
  }
}

function checkPreamble(bytes: Uint8Array): void {
  const head = Buffer.from(bytes.subarray(0, 8)).toString('hex');
  if (!head.startsWith('0061736d')) {
    throw refused(
      `it begins with the bytes ${head.slice(0, 8) || '(none)'}; a WebAssembly module begins with 0061736d`,
    );
  }
  if (head !== '0061736d01000000') throw refused(`its binary version is ${head.slice(8)}; 01000000 is allowed`);
}

class ShapeReader {
  private readonly input: WasmReader;
  private readonly isPart: boolean;
  private readonly types: string[] = [];
  /** Type indexes: imported functions first. */
  private readonly functions: number[] = [];
  private readonly shape: ModuleShape = { sections: [], imports: [], exports: new Map(), memory: null, tables: [] };

  constructor(bytes: Uint8Array, isPart: boolean) {
    this.input = new WasmReader(bytes, 8);
    this.isPart = isPart;
  }

  read(): ModuleShape {
    const { input, shape } = this;
    let place = -1;
    while (!input.done) {
      const id = input.byte();
      const size = input.u32();
      const section = input.part(size);
      shape.sections.push({ id, from: section.at, to: section.end });
      if (id === 0) continue;
      const order = SECTION_ORDER.indexOf(id);
      if (order < 0) throw refused(`it has a section of unknown kind ${id}`);
      if (order <= place) throw new WasmDamage(`section ${id} is not where it belongs`);
      place = order;
      this.section(id, section);
    }
    return shape;
  }

  private section(id: number, section: WasmReader): void {
    switch (id) {
      case 1:
        this.readTypes(section);
        break;
      case 2:
        this.readImports(section);
        break;
      case 3:
        for (let n = section.u32(); n > 0; n--) this.functions.push(section.u32());
        break;
      case 4:
        this.readTables(section);
        break;
      case 5:
        this.readMemories(section);
        break;
      case 7:
        this.readExports(section);
        break;
      case 13:
        throw refused('it uses exceptions (a tag section); compile it without exception handling');
      default:
        return;
    }
    if (!section.done) throw new WasmDamage(`section ${id} is longer than what it holds`);
  }

  private readTypes(section: WasmReader): void {
    const count = section.u32();
    if (count > MAX_TYPES) throw refused(`it declares ${count} types, at most ${MAX_TYPES} are allowed`);
    for (let i = 0; i < count; i++) {
      const form = section.byte();
      if (form === 0x5f || form === 0x5e || form === 0x4e || form === 0x50 || form === 0x4f) {
        throw refused(
          'it declares WasmGC types (struct, array or recursive types), whose memory cannot be limited; plain function types are allowed',
        );
      }
      if (form !== 0x60)
        throw refused(`it declares a type of unknown form 0x${form.toString(16)}; function types are allowed`);
      this.types.push(`${this.valueTypes(section)} -> ${this.valueTypes(section)}`);
    }
  }

  private valueTypes(section: WasmReader): string {
    const names: string[] = [];
    for (let n = section.u32(); n > 0; n--) {
      const code = section.byte();
      const name = VALUE_TYPES[code];
      if (!name) {
        throw refused(
          `it uses the value type 0x${code.toString(16)}; numbers, v128, funcref and externref are allowed`,
        );
      }
      names.push(name);
    }
    return names.join(' ');
  }

  private readImports(section: WasmReader): void {
    const count = section.u32();
    if (count > MAX_IMPORTS) throw refused(`it has ${count} imports, at most ${MAX_IMPORTS} are allowed`);
    for (let i = 0; i < count; i++) {
      const module = section.name();
      const name = section.name();
      const kind = section.byte();
      const full = `"${module}.${name}"`;
      if (this.isPart && kind > 0 && kind < 4) {
        this.skipImport(kind, section);
        continue;
      }
      if (kind === 1) throw refused(`it imports the table ${full}; a module must bring its own`);
      if (kind === 2) throw refused(`it imports the memory ${full}; a module must bring its own`);
      if (kind === 3) throw refused(`it imports the global ${full}; functions are allowed`);
      if (kind !== 0) throw refused(`it imports ${full} of unknown kind ${kind}; functions are allowed`);
      const type = section.u32();
      this.functions.push(type);
      this.shape.imports.push({ module, name, type: this.typeAt(type) });
    }
  }

  /** A table, memory or global that another part of the component has. */
  private skipImport(kind: number, section: WasmReader): void {
    if (kind === 1) section.byte();
    if (kind === 3) section.skip(2);
    else this.limits(section, kind === 1 ? 'table' : 'memory');
  }

  private typeAt(index: number): string {
    const type = this.types[index];
    if (type === undefined) throw new WasmDamage(`there is no type ${index}`);
    return type;
  }

  private readTables(section: WasmReader): void {
    let total = 0;
    for (let n = section.u32(); n > 0; n--) {
      const type = section.byte();
      if (type !== 0x70 && type !== 0x6f) {
        throw refused(`it has a table of type 0x${type.toString(16)}; funcref and externref are allowed`);
      }
      const limits = this.limits(section, 'table');
      total += limits.min;
      this.shape.tables.push({ type, limits });
    }
    if (total > MAX_TABLE_ELEMENTS) {
      throw refused(`its tables begin with ${total} elements, at most ${MAX_TABLE_ELEMENTS} are allowed`);
    }
  }

  private readMemories(section: WasmReader): void {
    const count = section.u32();
    if (count > 1) throw refused(`it has ${count} memories, one is allowed`);
    if (count === 1) this.shape.memory = this.limits(section, 'memory');
  }

  private limits(section: WasmReader, what: string): Limits {
    const flags = section.byte();
    if (flags & 0x04) throw refused(`its ${what} is 64-bit (memory64); 32-bit is allowed`);
    if (flags & 0x02) throw refused(`its ${what} is shared between threads; one of its own is allowed`);
    if (flags & 0x08) throw refused(`its ${what} has a page size of its own; 64 KiB pages are allowed`);
    if (flags > 1) throw refused(`its ${what} has unknown limits (flags ${flags})`);
    const min = section.u32();
    return { min, max: flags === 1 ? section.u32() : null };
  }

  private readExports(section: WasmReader): void {
    const count = section.u32();
    if (count > MAX_EXPORTS) throw refused(`it has ${count} exports, at most ${MAX_EXPORTS} are allowed`);
    for (let i = 0; i < count; i++) {
      const name = section.name();
      const kind = section.byte();
      const index = section.u32();
      const type = kind === 0 ? this.functions[index] : undefined;
      this.shape.exports.set(name, type === undefined ? null : this.typeAt(type));
    }
  }
}
