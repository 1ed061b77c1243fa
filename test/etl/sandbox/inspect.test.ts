import { expect, test } from 'vitest';
import { inspect } from '../../../etl/sandbox/inspect.ts';
import { instrument } from '../../../etl/sandbox/instrument.ts';
import { readShape } from '../../../etl/sandbox/module-shape.ts';
import { leb } from '../../../etl/sandbox/wasm-reader.ts';
import { assemble, guestText } from './guests.ts';

const MIB = 1024 * 1024;
const sound = assemble(guestText());

/** The guest with something more in it. */
const withText = (extra: string): Uint8Array => assemble(guestText({ extra }));
const section = (id: number, contents: number[]): number[] => [id, ...leb(contents.length), ...contents];
const header = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/** A module that is nothing but these sections. */
const bare = (...sections: number[][]): Uint8Array => Uint8Array.from([...header, ...sections.flat()]);

const refusal = (bytes: Uint8Array): string => {
  try {
    inspect(bytes);
  } catch (error) {
    expect(error).toMatchObject({ kind: 'invalid', code: 'MODULE_REFUSED' });
    return (error as Error).message;
  }
  throw new Error('the module was taken');
};

const VERSION_2 = '(import "redpanda_transform" "check_abi_version_2" (func))';
const redpanda = (imports: string): Uint8Array =>
  assemble(`(module ${imports} (memory (export "memory") 1) (func (export "_start")))`);
const smartModule = (transform: string, more = ''): string => `(module
  (import "any" "copy_records" (func (param i32 i32))) ${more}
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 0))
  (func (export "${transform}") (param i32 i32 i32) (result i32) (i32.const 0)))`;

test('what a module speaks is known from what it imports and exports', () => {
  const known = (bytes: Uint8Array) => {
    const { abi, form } = inspect(bytes);
    return [abi, form];
  };
  expect(known(redpanda(VERSION_2))).toEqual(['redpanda', 'ABI 2']);
  expect(known(redpanda(VERSION_2.replace('2', '1')))).toEqual(['redpanda', 'ABI 1']);
  for (const transform of ['filter', 'map', 'filter_map', 'array_map', 'aggregate']) {
    expect(known(assemble(smartModule(transform)))).toEqual(['fluvio', transform]);
  }
  expect(known(assemble(guestText()))).toEqual(['millstream-core', null]);
});

test('a sound module is taken and its ABI found', () => {
  expect(inspect(sound)).toMatchObject({ abi: 'millstream-core', memory: { min: 200, max: null } });
});

test.each<[found: string, bytes: () => Uint8Array, says: RegExp]>([
  ['nothing at all', () => new Uint8Array(), /begins with the bytes \(none\)/],
  [
    'something else',
    () => Buffer.from('#!/bin/sh\n'),
    /begins with the bytes 23212f62; a WebAssembly module begins with 0061736d/,
  ],
  ['a component', () => Uint8Array.from([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]), /WebAssembly component/],
  ['another version', () => Uint8Array.from([0, 0x61, 0x73, 0x6d, 2, 0, 0, 0]), /binary version is 02000000/],
  ['33 MiB', () => new Uint8Array(33 * MIB), /34603008 bytes, at most 33554432 \(32 MiB\)/],
  ['a struct type', () => bare(section(1, [1, 0x5f, 0])), /WasmGC types/],
  ['an array type', () => bare(section(1, [1, 0x5e, 0x7f, 1])), /WasmGC types/],
  ['a recursive group', () => bare(section(1, [1, 0x4e, 1, 0x60, 0, 0])), /WasmGC types/],
  ['a subtype', () => bare(section(1, [1, 0x50, 0, 0x60, 0, 0])), /WasmGC types/],
  ['a continuation type', () => bare(section(1, [1, 0x5d, 0])), /unknown form 0x5d/],
  ['a typed reference', () => bare(section(1, [1, 0x60, 1, 0x64, 0x70, 0])), /value type 0x64/],
  ['exceptions', () => bare(section(1, [1, 0x60, 0, 0]), section(13, [1, 0, 0])), /uses exceptions/],
  ['two memories', () => bare(section(5, [2, 0, 1, 0, 1])), /has 2 memories, one is allowed/],
  ['a 64-bit memory', () => bare(section(5, [1, 4, 1])), /memory is 64-bit/],
  ['a shared memory', () => bare(section(5, [1, 3, 1, 2])), /memory is shared/],
  ['a page size of its own', () => bare(section(5, [1, 8, 1, 0])), /page size of its own/],
  ['a 64-bit table', () => bare(section(4, [1, 0x70, 4, 1])), /table is 64-bit/],
  ['a table of typed references', () => bare(section(4, [1, 0x64, 0x70, 0, 1])), /table of type 0x64/],
  ['a table with initial values', () => bare(section(4, [1, 0x40, 0, 0x70, 0, 1])), /table of type 0x40/],
  [
    'tables that begin too long',
    () => withText('(table 60000 funcref) (table 6000 externref)'),
    /begin with 66000 elements/,
  ],
  [
    'an imported memory',
    () => withText('(import "env" "memory" (memory 1))').slice(),
    /imports the memory "env.memory"/,
  ],
  ['an imported table', () => withText('(import "env" "t" (table 1 funcref))'), /imports the table "env.t"/],
  ['an imported global', () => withText('(import "env" "g" (global i32))'), /imports the global "env.g"/],
  [
    'an unknown import',
    () => withText('(import "env" "abort" (func (param i32)))'),
    /imports "env.abort", which does not exist.*log, progress, fail/,
  ],
  ['an unknown function of ours', () => withText('(import "millstream" "exit" (func))'), /imports "millstream.exit"/],
  [
    'a wrong type of ours',
    () => withText('(import "millstream" "log" (func (param i64)))'),
    /"millstream.log" as \(i64 -> \); it is \(i32 i32 i32 -> \)/,
  ],
  [
    'WASI',
    () => withText('(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))'),
    /fd_write/,
  ],
  [
    'no ABI',
    () => assemble('(module (memory (export "memory") 1) (func (export "run")))'),
    /exports memory, run and imports nothing/,
  ],
  [
    'a missing export',
    () =>
      assemble('(module (memory (export "memory") 1) (func (export "millstream_abi_v1") (result i32) (i32.const 0)))'),
    /does not export "millstream_alloc"/,
  ],
  [
    'no memory',
    () => assemble('(module (func (export "millstream_abi_v1") (result i32) (i32.const 0)))'),
    /has no memory/,
  ],
  [
    'an export of another type',
    () =>
      assemble(
        guestText().replace(
          '(func (export "millstream_alloc") (param i32) (result i32)',
          '(func (export "millstream_alloc") (param i32 i32) (result i32)',
        ),
      ),
    /"millstream_alloc" is \(i32 i32 -> i32\); it must be \(i32 -> i32\)/,
  ],
  [
    'a Redpanda transform that does not start',
    () => assemble('(module (import "redpanda_transform" "check_abi_version_2" (func)) (memory (export "memory") 1))'),
    /does not export "_start"/,
  ],
  [
    'a Redpanda transform of an ABI to come',
    () => redpanda('(import "redpanda_transform" "check_abi_version_3" (func))'),
    /transform of ABI 3; 1 and 2 are run/,
  ],
  [
    'a Redpanda transform that names no ABI',
    () => redpanda('(import "redpanda_transform" "write_record" (func (param i32 i32) (result i32)))'),
    /does not say which ABI/,
  ],
  [
    'a schema registry of an ABI to come',
    () => redpanda(`${VERSION_2} (import "redpanda_schema_registry" "check_abi_version_1" (func))`),
    /"redpanda_schema_registry.check_abi_version_1", which does not exist/,
  ],
  [
    'an import of another type',
    () => redpanda(`${VERSION_2} (import "redpanda_transform" "write_record" (func (param i32 i64) (result i32)))`),
    /"redpanda_transform.write_record" as \(i32 i64 -> i32\); it is \(i32 i32 -> i32\)/,
  ],
  [
    'a WASI function that is none',
    () => redpanda(`${VERSION_2} (import "wasi_snapshot_preview1" "fd_fly" (func))`),
    /"wasi_snapshot_preview1.fd_fly", which does not exist/,
  ],
  [
    'an import named like what every object has',
    () => redpanda(`${VERSION_2} (import "redpanda_transform" "constructor" (func))`),
    /"redpanda_transform.constructor", which does not exist/,
  ],
  [
    'a Fluvio SmartModule whose functions have other types',
    () =>
      assemble(
        '(module (import "env" "copy_records" (func (param i32 i32))) (memory (export "memory") 1) (func (export "alloc")) (func (export "filter")))',
      ),
    /"alloc" is \( -> \); it must be \(i32 -> i32\)/,
  ],
  [
    'a Fluvio SmartModule that imports what nobody has',
    () => assemble(smartModule('filter', '(import "env" "now" (func (result i64)))')),
    /"env.now", which does not exist; from "any" there are copy_records/,
  ],
  ['sections out of order', () => bare(section(5, [1, 0, 1]), section(1, [0])), /section 1 is not where it belongs/],
  ['the same section twice', () => bare(section(1, [0]), section(1, [0])), /section 1 is not where it belongs/],
  ['an unknown section', () => bare(section(99, [])), /section of unknown kind 99/],
  ['a section that is too long', () => bare(section(1, [0, 0])), /section 1 is longer/],
  ['a section that runs past the end', () => bare([1, 100, 0]), /runs past the end/],
  ['a number of six bytes', () => bare([1, 0x80, 0x80, 0x80, 0x80, 0x80, 0]), /longer than 32 bits/],
  ['four billion types', () => bare(section(1, [0xff, 0xff, 0xff, 0xff, 0x0f])), /4294967295 types/],
  ['four billion functions', () => bare(section(3, [0xff, 0xff, 0xff, 0xff, 0x0f])), /ends in the middle/],
])('%s is refused with what was found', (_found, bytes, says) => {
  expect(refusal(bytes())).toMatch(says);
});

test('the memory maximum is written in whole pages, and never above what the module asked for', () => {
  const limitOf = (bytes: Uint8Array, memoryBytes: number) => readShape(instrument(bytes, memoryBytes)).memory;
  expect(limitOf(sound, 16 * MIB)).toEqual({ min: 200, max: 256 });
  expect(limitOf(sound, 16 * MIB + 65_535)).toEqual({ min: 200, max: 256 });
  const modest = assemble(guestText().replace('(memory (export "memory") 200)', '(memory (export "memory") 200 210)'));
  expect(limitOf(modest, 16 * MIB)).toEqual({ min: 200, max: 210 });
  expect(() => instrument(sound, 8 * MIB)).toThrow(/begins with 200 pages \(13107200 bytes\), the step's limit is 128/);
});

test('all tables together can hold 65,536 elements and no more', () => {
  const grows = withText(`(table $a 100 funcref) (table $b 10 5000 externref)
    (func (export "grow_a") (param i32) (result i32) (table.grow $a (ref.null func) (local.get 0)))
    (func (export "grow_b") (param i32) (result i32) (table.grow $b (ref.null extern) (local.get 0)))`);
  const tables = readShape(instrument(grows, 16 * MIB)).tables.map(({ limits }) => limits);
  expect(tables).toEqual([
    { min: 100, max: 32_813 },
    { min: 10, max: 5000 },
  ]);
  const imports = { millstream: { log: () => {}, progress: () => {}, fail: () => {} } };
  const { grow_a: growA } = new WebAssembly.Instance(new WebAssembly.Module(instrument(grows, 16 * MIB)), imports)
    .exports as { grow_a: (n: number) => number };
  expect(growA(1_000_000)).toBe(-1);
  expect(growA(32_713)).toBe(100);
  expect(growA(1)).toBe(-1);
});

test('a module without limits to write stays byte for byte, but for the length of its section sizes', () => {
  const { sections } = readShape(sound);
  const rewritten = instrument(sound, 64 * MIB);
  const again = readShape(rewritten);
  expect(again.sections.map(each => each.id)).toEqual(sections.map(each => each.id));
  for (const [i, { id, from, to }] of again.sections.entries()) {
    if (id === 5) continue;
    const before = sections[i] as (typeof sections)[number];
    expect(Buffer.compare(rewritten.subarray(from, to), sound.subarray(before.from, before.to))).toBe(0);
  }
});
