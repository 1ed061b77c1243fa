import { WasmDamage, type WasmReader } from '../wasm-reader.ts';
import {
  BULK_IMMEDIATES,
  IMMEDIATE,
  PLAIN_IMMEDIATES,
  PREFIX,
  unknownInstruction,
  VECTOR_IMMEDIATES,
} from './opcodes.ts';

/** There is an instruction whose end nobody here knows. */
export class UnknownInstruction extends Error {}

const EMPTY_BLOCK = 0x40;
const isReference = (type: number): boolean => type === 0x70 || type === 0x6f;
/** Also those of which there is only null: compilers say so when they write one. */
const isHeapType = (type: number): boolean => isReference(type) || type === 0x73 || type === 0x72;
/** i32, i64, f32, f64, v128, funcref, externref. */
const isValueType = (type: number): boolean => (type >= 0x7b && type <= 0x7f) || isReference(type);

/**
 * Reads instructions one by one: opcode (u8), behind a prefix its number (u32), then what opcodes.ts says. It takes no module
 * that V8 refuses for a module that V8 takes: where both take it, both see the same instructions.
 */
export class InstructionReader {
  readonly input: WasmReader;
  opcode = 0;
  /** The number behind the prefix; null: a plain instruction. */
  behind: number | null = null;
  /** The labels of a branch. */
  readonly labels: number[] = [];
  private readonly globals: number;

  /** `globals`: so many there are. */
  constructor(input: WasmReader, globals: number) {
    this.input = input;
    this.globals = globals;
  }

  /** Throws WasmDamage and UnknownInstruction. */
  next(): void {
    const { input } = this;
    const opcode = input.byte();
    this.opcode = opcode;
    this.behind = null;
    let immediate = PLAIN_IMMEDIATES[opcode] as number;
    if (opcode === PREFIX.bulk || opcode === PREFIX.vector) {
      this.behind = input.u32();
      immediate = (opcode === PREFIX.bulk ? BULK_IMMEDIATES : VECTOR_IMMEDIATES)[this.behind] ?? IMMEDIATE.unknown;
    }
    if (immediate !== IMMEDIATE.none) this.skip(immediate);
  }

  private skip(immediate: number): void {
    const { input } = this;
    switch (immediate) {
      case IMMEDIATE.index:
        input.u32();
        return;
      case IMMEDIATE.global:
        // One of ours would stand behind the module's own.
        if (input.u32() >= this.globals) throw new WasmDamage('it uses a global that does not exist');
        return;
      case IMMEDIATE.twoIndexes:
      case IMMEDIATE.memoryArgument:
        input.u32();
        input.u32();
        return;
      case IMMEDIATE.memoryArgumentAndLane:
        input.u32();
        input.u32();
        input.skip(1);
        return;
      case IMMEDIATE.blockType:
        return this.blockType();
      case IMMEDIATE.label:
        this.labels.length = 0;
        this.labels.push(input.u32());
        return;
      case IMMEDIATE.labels:
        this.labels.length = 0;
        for (let left = input.u32(); left >= 0; left--) this.labels.push(input.u32());
        return;
      case IMMEDIATE.memory:
        return this.memory();
      case IMMEDIATE.twoMemories:
        this.memory();
        return this.memory();
      case IMMEDIATE.indexAndMemory:
        input.u32();
        return this.memory();
      case IMMEDIATE.number:
        return input.skipNumber();
      case IMMEDIATE.oneByte:
        return input.skip(1);
      case IMMEDIATE.fourBytes:
        return input.skip(4);
      case IMMEDIATE.eightBytes:
        return input.skip(8);
      case IMMEDIATE.sixteenBytes:
        return input.skip(16);
      case IMMEDIATE.valueTypes:
        for (let left = input.u32(); left > 0; left--) this.type(isValueType);
        return;
      case IMMEDIATE.heapType:
        return this.type(isHeapType);
      default:
        throw new UnknownInstruction(unknownInstruction(this.opcode, this.behind));
    }
  }

  private blockType(): void {
    const { input } = this;
    const first = input.bytes[input.at] ?? 0;
    if (first === EMPTY_BLOCK || isValueType(first)) input.skip(1);
    // An index is never negative: bit 6 of its last byte is clear, and that byte is the fifth at most.
    else {
      const from = input.at;
      input.skipNumber();
      const last = input.bytes[input.at - 1] as number;
      if ((last & 0x40) !== 0 || input.at - from > 5) throw new UnknownInstruction('a block of an unknown type');
    }
  }

  private memory(): void {
    if (this.input.u32() !== 0) throw new WasmDamage('it uses a memory that does not exist');
  }

  private type(isKnown: (type: number) => boolean): void {
    const type = this.input.byte();
    if (!isKnown(type)) throw new UnknownInstruction(`one of the type 0x${type.toString(16)}`);
  }
}
