import { MAX_TABLE_ELEMENTS, type ModuleShape, readShape } from './module-shape.ts';
import { refused } from './errors.ts';
import { leb } from './wasm-reader.ts';

export const PAGE_BYTES = 65_536;
const TABLE_SECTION = 4;
const MEMORY_SECTION = 5;

/**
 * Writes our limits into a module: the maximum of its memory (in whole pages) and of its tables (65,536 elements in
 * all). Everything else stays byte for byte. Kind `invalid`, code MODULE_REFUSED when it needs more to begin with.
 */
export function instrument(bytes: Uint8Array, memoryBytes: number): Uint8Array {
  const shape = readShape(bytes);
  const parts: Uint8Array[] = [bytes.subarray(0, 8)];
  for (const { id, from, to } of shape.sections) {
    const contents = newContents(id, shape, memoryBytes) ?? bytes.subarray(from, to);
    parts.push(Uint8Array.from([id, ...leb(contents.length)]), contents);
  }
  return Buffer.concat(parts);
}

function newContents(id: number, shape: ModuleShape, memoryBytes: number): Uint8Array | null {
  if (id === MEMORY_SECTION && shape.memory) {
    const pages = Math.floor(memoryBytes / PAGE_BYTES);
    const { min, max } = shape.memory;
    if (min > pages) {
      throw refused(
        `its memory begins with ${min} pages (${min * PAGE_BYTES} bytes), the step's limit is ${pages} (${memoryBytes} bytes); raise limits.memory`,
      );
    }
    return Uint8Array.from([1, 1, ...leb(min), ...leb(Math.min(max ?? pages, pages))]);
  }
  if (id === TABLE_SECTION && shape.tables.length > 0) {
    const begin = shape.tables.reduce((sum, table) => sum + table.limits.min, 0);
    const share = Math.floor((MAX_TABLE_ELEMENTS - begin) / shape.tables.length);
    const tables = shape.tables.flatMap(({ type, limits: { min, max } }) => [
      type,
      1,
      ...leb(min),
      ...leb(Math.min(max ?? Number.POSITIVE_INFINITY, min + share)),
    ]);
    return Uint8Array.from([...leb(shape.tables.length), ...tables]);
  }
  return null;
}
