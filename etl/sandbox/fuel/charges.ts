import { WasmDamage, type WasmReader } from '../wasm-reader.ts';
import { InstructionReader } from './instruction-reader.ts';
import { LENGTH_SHIFTS, OP, PREFIX } from './opcodes.ts';

/** What is to be paid at a place of a function's body. */
export interface Charge {
  /** Before the byte here. */
  at: number;
  /** So many instructions are run through from here on without a choice. */
  instructions: number;
  /** Instead: each 2^shift of the length that is uppermost on the stack is one. null: no length. */
  lengthShift: number | null;
}

/** A block, a loop, an arm of an if, or the function itself. */
interface Label {
  kind: number;
  isBranchedTo: boolean;
}

/**
 * Where the function whose instructions these are pays for what, in the order of the places: at its entry, at the head of each
 * loop, at the beginning of each arm of an if and behind it, behind a branch that was not taken, and where a branch may land.
 * From one such place to the next everything is run through, or the function traps: every instruction is paid for before it
 * runs, and only once. `block`, `loop`, `else` and `end` do nothing and cost nothing; whatever comes back to where it was has
 * gone through a branch or a call, which costs 1.
 */
export function chargesOf(body: WasmReader, globals: number): Charge[] {
  return new ChargeFinder(body, globals).find();
}

class ChargeFinder {
  private readonly reader: InstructionReader;
  private readonly charges: Charge[] = [];
  private readonly labels: Label[] = [];
  /** What the instruction at hand is counted in. Nothing comes to where it is null. */
  private run: Charge | null = null;

  constructor(body: WasmReader, globals: number) {
    this.reader = new InstructionReader(body, globals);
  }

  find(): Charge[] {
    const { reader, labels } = this;
    labels.push({ kind: OP.block, isBranchedTo: false });
    this.begin();
    while (labels.length > 0) {
      const at = reader.input.at;
      reader.next();
      this.take(at);
    }
    if (!reader.input.done)
      throw new WasmDamage(`a function is longer than its instructions, at byte ${reader.input.at}`);
    return this.charges.filter(({ instructions, lengthShift }) => instructions > 0 || lengthShift !== null);
  }

  private take(at: number): void {
    const { reader, labels } = this;
    const { opcode } = reader;
    switch (opcode) {
      case OP.block:
        labels.push({ kind: OP.block, isBranchedTo: false });
        return;
      case OP.loop:
        labels.push({ kind: OP.loop, isBranchedTo: false });
        return this.begin();
      case OP.if:
        this.count();
        labels.push({ kind: OP.if, isBranchedTo: false });
        return this.begin();
      case OP.else:
        if (labels.at(-1)?.kind !== OP.if) throw new WasmDamage(`an else without an if, at byte ${at}`);
        return this.begin();
      case OP.end:
        return this.end(labels.pop() as Label);
      case OP.brIf:
        this.count();
        this.markLabels();
        return this.begin();
      case OP.br:
      case OP.brTable:
        this.markLabels();
        return this.leave();
      case OP.unreachable:
      case OP.return:
      case OP.returnCall:
      case OP.returnCallIndirect:
        return this.leave();
      default:
        this.count();
        if (opcode === PREFIX.bulk) this.lengthAt(at);
    }
  }

  /** An end is a place where ways meet when a branch lands there, or the arms of an if; not that of a loop. */
  private end({ kind, isBranchedTo }: Label): void {
    if (kind === OP.if || (kind === OP.block && isBranchedTo)) this.begin();
  }

  private count(): void {
    if (this.run) this.run.instructions++;
  }

  private begin(): void {
    this.run = { at: this.reader.input.at, instructions: 0, lengthShift: null };
    this.charges.push(this.run);
  }

  /** Behind this instruction nothing goes on. */
  private leave(): void {
    this.count();
    this.run = null;
  }

  private markLabels(): void {
    const { labels } = this;
    for (const depth of this.reader.labels) {
      const label = labels[labels.length - 1 - depth];
      if (!label) throw new WasmDamage('it branches to a label that does not exist');
      label.isBranchedTo = true;
    }
  }

  private lengthAt(at: number): void {
    const lengthShift = LENGTH_SHIFTS.get(this.reader.behind as number);
    if (lengthShift !== undefined) this.charges.push({ at, instructions: 0, lengthShift });
  }
}
