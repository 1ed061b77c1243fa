import { refused } from '../errors.ts';
import { leb, WasmDamage, WasmReader } from '../wasm-reader.ts';
import { ByteSink } from './byte-sink.ts';
import { type Charge, chargesOf } from './charges.ts';
import { InstructionReader, UnknownInstruction } from './instruction-reader.ts';
import { OP } from './opcodes.ts';

/*
 * Rewrites a module so that it counts its own instructions and traps when its fuel is used up. It gets two globals, behind its
 * own, whose indexes stay; instructions that pay (see charges.ts); and an export of the first global, its last one. Sections
 * (WebAssembly core specification 5.5):
 *
 *   6 global   count + 2, the old ones, i64 mut = 2^63 - 1 (the fuel), i32 mut = 0 (a length that is looked at)
 *   7 export   count + 1, the old ones, name, 0x03, index of the fuel
 *   10 code    count, each: size, locals as they were, instructions with payments
 *   0 custom   only "name" stays: others speak of places in the code
 */
const CUSTOM = 0;
const GLOBAL = 6;
const EXPORT = 7;
const CODE = 10;
/** Sections that may come before the global section. */
const BEFORE_GLOBALS: readonly number[] = [1, 2, 3, 4, 5, 13];
const GLOBAL_KIND = 3;

/** i64 mut, i64.const 2^63 - 1, end; i32 mut, i32.const 0, end. */
const NEW_GLOBALS = Buffer.from('7e0142ffffffffffffffffff000b7f0141000b', 'hex');

const GET = 0x23;
const SET = 0x24;
const I64_CONST = 0x42;
const I64_SUB = 0x7d;
const I64_SHR_U = 0x88;
const I64_EXTEND_U = 0xad;
/** i64.const 0, i64.lt_s, if, unreachable, end. */
const TRAP_BELOW_ZERO = [I64_CONST, 0, 0x53, 0x04, 0x40, 0x00, 0x0b];

/**
 * The same module with fuel: an i64 global, its last export, which the host fills and the module empties. It begins with so much
 * that a start function does not end it. `find` says where a function pays. Throws kind `invalid`, code MODULE_REFUSED for an
 * instruction that is not known.
 */
export function meter(bytes: Uint8Array, find: ChargesOf = chargesOf): Uint8Array {
  try {
    return rewrite(bytes, find);
  } catch (error) {
    if (error instanceof UnknownInstruction) {
      throw refused(
        `it uses an instruction whose cost is not known (${error.message}); leave out limits.fuel, or compile it without`,
        error,
      );
    }
    if (error instanceof WasmDamage) throw refused(`it is no sound WebAssembly module: ${error.message}`, error);
    throw error;
  }
}

type ChargesOf = typeof chargesOf;

interface Section {
  id: number;
  contents: WasmReader;
}

function rewrite(bytes: Uint8Array, find: ChargesOf): Uint8Array {
  const sections = sectionsOf(bytes);
  const globals = contentsOf(sections, GLOBAL, BEFORE_GLOBALS).u32();
  contentsOf(sections, EXPORT, [...BEFORE_GLOBALS, GLOBAL]);
  const out = new ByteSink(2 * bytes.length);
  out.add(bytes.subarray(0, 8));
  for (const { id, contents } of sections) {
    const rewritten = rewrittenSection(id, contents, globals, find);
    out.add([id, ...leb(rewritten.length)]);
    out.add(rewritten);
  }
  return out.written;
}

function rewrittenSection(id: number, contents: WasmReader, globals: number, find: ChargesOf): Uint8Array {
  switch (id) {
    case GLOBAL:
      return moreGlobals(contents, globals);
    case EXPORT:
      return moreExports(contents, globals);
    case CODE:
      return payingCode(contents, globals, find);
    default:
      return contents.bytes.subarray(contents.at, contents.end);
  }
}

function sectionsOf(bytes: Uint8Array): Section[] {
  const sections: Section[] = [];
  const input = new WasmReader(bytes, 8);
  while (!input.done) {
    const id = input.byte();
    const contents = input.part(input.u32());
    if (id !== CUSTOM || copyOf(contents).name() === 'name') sections.push({ id, contents });
  }
  return sections;
}

/** Of the section of this kind. One that is not there is put, with nothing in it, behind those that belong before it. */
function contentsOf(sections: Section[], wanted: number, before: readonly number[]): WasmReader {
  const found = sections.find(({ id }) => id === wanted);
  if (found) return copyOf(found.contents);
  const next = sections.findIndex(({ id }) => id !== CUSTOM && !before.includes(id));
  const empty = new WasmReader(Uint8Array.of(0));
  sections.splice(next < 0 ? sections.length : next, 0, { id: wanted, contents: empty });
  return copyOf(empty);
}

const copyOf = ({ bytes, at, end }: WasmReader): WasmReader => new WasmReader(bytes, at, end);

/** count u32, each: type u8, mutability u8, an expression. They are read so that none of them can run into ours. */
function moreGlobals(section: WasmReader, globals: number): Uint8Array {
  section.u32();
  const from = section.at;
  for (let i = 0; i < globals; i++) {
    section.skip(2);
    const value = new InstructionReader(section, i);
    do value.next();
    while (value.opcode !== OP.end);
  }
  if (!section.done) throw new WasmDamage('its globals are longer than they say');
  return Buffer.concat([Uint8Array.from(leb(globals + 2)), section.bytes.subarray(from, section.end), NEW_GLOBALS]);
}

/** count u32, each: name, kind u8, index u32. */
function moreExports(section: WasmReader, fuel: number): Uint8Array {
  const count = section.u32();
  const from = section.at;
  const names = new Set<string>();
  for (let i = 0; i < count; i++) {
    names.add(section.name());
    const isGlobal = section.byte() === GLOBAL_KIND;
    if (section.u32() >= fuel && isGlobal) throw new WasmDamage('it exports a global that does not exist');
  }
  if (!section.done) throw new WasmDamage('its exports are longer than they say');
  let name = 'millstream_fuel';
  for (let i = 1; names.has(name); i++) name = `millstream_fuel_${i}`;
  const added = Uint8Array.from([name.length, ...Buffer.from(name), GLOBAL_KIND, ...leb(fuel)]);
  return Buffer.concat([Uint8Array.from(leb(count + 1)), section.bytes.subarray(from, section.end), added]);
}

/** count u32, each: size u32, locals (count u32, each: count u32, type u8), instructions. */
function payingCode(section: WasmReader, fuel: number, find: ChargesOf): Uint8Array {
  const out = new ByteSink(2 * (section.end - section.at));
  const body = new ByteSink();
  const payment = new Payment(fuel);
  const count = section.u32();
  out.add(leb(count));
  for (let i = 0; i < count; i++) {
    const input = section.part(section.u32());
    let from = input.at;
    for (let groups = input.u32(); groups > 0; groups--) {
      input.u32();
      input.skip(1);
    }
    body.clear();
    for (const charge of find(input, fuel)) {
      body.add(input.bytes.subarray(from, charge.at));
      payment.write(charge, body);
      from = charge.at;
    }
    body.add(input.bytes.subarray(from, input.end));
    out.add(leb(body.written.length));
    out.add(body.written);
  }
  if (!section.done) throw new WasmDamage('its code is longer than it says');
  return out.written;
}

/** The instructions that take what a charge says from the fuel. They leave the stack as it was. */
class Payment {
  private readonly begin: readonly number[];
  private readonly finish: readonly number[];
  private readonly keepLength: readonly number[];
  private readonly length: readonly number[];

  constructor(globals: number) {
    const [fuel, length] = [leb(globals), leb(globals + 1)];
    this.begin = [GET, ...fuel];
    this.finish = [I64_SUB, SET, ...fuel, GET, ...fuel, ...TRAP_BELOW_ZERO];
    this.keepLength = [SET, ...length];
    this.length = [GET, ...length];
  }

  write({ instructions, lengthShift }: Charge, body: ByteSink): void {
    if (lengthShift !== null) body.add(this.keepLength);
    body.add(this.begin);
    if (lengthShift === null) body.add([I64_CONST, ...positive(instructions)]);
    else {
      body.add(this.length);
      body.add([I64_EXTEND_U, I64_CONST, lengthShift, I64_SHR_U]);
    }
    body.add(this.finish);
    if (lengthShift !== null) body.add(this.length);
  }
}

/** Signed LEB128 of a number that is not negative: a last byte with bit 6 set would be. */
function positive(value: number): number[] {
  const bytes = leb(value);
  const last = bytes.length - 1;
  if (((bytes[last] as number) & 0x40) === 0) return bytes;
  return [...bytes.slice(0, last), (bytes[last] as number) | 0x80, 0];
}
