import { CELL, PHASE } from '../sandbox/cell.ts';
import { configPairs } from './foreign-config.ts';
import { type Fuel, fuelOf } from './fuel.ts';
import { InputFrame, OutputFrame } from './frames.ts';
import { GuestMemory } from './guest-memory.ts';
import { type Failure, type Guest, GuestFault, type GuestHost, type GuestSetup, InitRefused } from './guest.ts';
import { isPlainBody, plainBody, topicOf } from './redpanda-payload.ts';
import { REGISTRY, registryImports, SchemaTable } from './schema-registry.ts';
import { Exit, Wasi } from './wasi.ts';
import { WASI } from './wasi-functions.ts';

/*
 * Redpanda Data Transforms, ABI 1 and 2, host side: one instance of one transform.
 *
 * The guest is a WASI command whose `_start` never returns: it asks for a batch (read_batch_header), reads its records one
 * by one (read_next_record), writes as many as it likes (write_record, write_record_with_options), and asks for the
 * next batch. Asking stands still until there is one, by JavaScript Promise Integration: `_start` is entered once, the
 * promise that read_batch_header returned is the guest's waiting room. A call of the sandbox is a batch.
 *
 * Outputs belong to the record that was read last, and carry its time. A failed record ends the instance.
 */

export const TRANSFORM = 'redpanda_transform';

/** The functions a transform may import from `redpanda_transform`. All pointers and lengths are i32. */
export const TRANSFORM_IMPORTS: Readonly<Record<string, string>> = {
  check_abi_version_1: ' -> ',
  check_abi_version_2: ' -> ',
  read_batch_header: 'i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 -> i32',
  read_next_record: 'i32 i32 i32 i32 i32 -> i32',
  write_record: 'i32 i32 -> i32',
  write_record_with_options: 'i32 i32 i32 i32 -> i32',
};

const START = '_start';
const NO_ACTIVE_TRANSFORM = -1;
const INVALID_BUFFER = -2;
const INVALID_WRITE = -3;

/** A promise and how it ends. */
interface Turn<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

interface Exports {
  memory: WebAssembly.Memory;
  [start: string]: unknown;
}

export class RedpandaGuest implements Guest {
  readonly takesTombstones = true;
  /** The ABI knows no such word: a record that fails ends the instance. */
  readonly failures: ReadonlyMap<number, Failure> = new Map();
  fuel: Fuel | null = null;
  private readonly cell: Int32Array;
  private readonly memory = new GuestMemory();
  private readonly wasi: Wasi;
  private readonly routes: ReadonlyMap<string, number>;
  private readonly output = new OutputFrame();
  /** The batch that the guest works on. */
  private input: InputFrame | null = null;
  /** The guest waits for a batch: resolved with the size of its longest record, once its header is written. */
  private guestTurn: (Turn<number> & { pointers: number[] }) | null = null;
  /** The sandbox waits for the guest to ask for the next batch. */
  private hostTurn: Turn<Uint8Array | null> | null = null;
  private ended: unknown = null;

  /** Instantiates and runs until the guest asks for its first batch. Throws InitRefused or what V8 throws. */
  static async open(module: WebAssembly.Module, host: GuestHost, setup: GuestSetup): Promise<RedpandaGuest> {
    host.cell[CELL.phase] = PHASE.init;
    const guest = new RedpandaGuest(host, setup);
    try {
      await guest.start(module, setup);
    } catch (error) {
      const words = guest.lastWords;
      if (words === '' && !(error instanceof Exit)) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw new InitRefused(error instanceof Exit && words !== '' ? `${message}: ${words}` : words || message);
    } finally {
      guest.wasi.flush();
      host.cell[CELL.phase] = PHASE.host;
    }
    return guest;
  }

  private constructor({ cell, log }: GuestHost, setup: GuestSetup) {
    this.cell = cell;
    const { pipeline, step, topic, partition, outputs } = setup;
    const names = outputs.map((output, route) => [output.name, route] as const);
    const topics = outputs.map((output, route) => [output.topic, route] as const);
    // An output's name serves where no topic is called so.
    this.routes = new Map([...names, ...topics, ['', 0]]);
    const env = new Map(configPairs(setup.config));
    env.set('REDPANDA_INPUT_TOPIC', topic);
    outputs.forEach((output, i) => env.set(`REDPANDA_OUTPUT_TOPIC_${i}`, output.topic));
    const seed = `${pipeline}/${step}/${topic}/${partition}`;
    this.wasi = new Wasi({ memory: this.memory, args: [step], env, seed, log });
  }

  get memoryBytes(): number {
    return this.memory.size;
  }

  get lastWords(): string {
    return this.wasi.lastWords;
  }

  process(frame: Uint8Array, count: number): Promise<Uint8Array | null> {
    return new Promise((resolve, reject) => {
      if (!this.guestTurn) return reject(this.ended ?? new Error('the transform is at work'));
      this.hostTurn = { resolve, reject };
      this.input = new InputFrame(frame, count);
      this.output.begin(count);
      this.fuel?.fill();
      const turn = this.guestTurn;
      this.guestTurn = null;
      try {
        turn.resolve(this.writeHeader(this.input, turn.pointers));
      } catch (error) {
        // Thrown where the guest stands, so that its stack is left.
        turn.reject(error);
      }
    });
  }

  /** Takes a guest that waits off its stack, so that nothing keeps it alive. */
  close(): void {
    this.guestTurn?.reject(new Error('closed'));
    this.guestTurn = null;
  }

  private start(module: WebAssembly.Module, setup: GuestSetup): Promise<unknown> {
    const { memory } = this;
    const nothing = (): void => {};
    const instance = new WebAssembly.Instance(module, {
      [TRANSFORM]: {
        check_abi_version_1: nothing,
        check_abi_version_2: nothing,
        read_batch_header: new WebAssembly.Suspending((...pointers: number[]) => this.readBatchHeader(pointers)),
        read_next_record: (attributes: number, timestamp: number, offset: number, buffer: number, length: number) =>
          this.readNextRecord(attributes, timestamp, offset, buffer, length),
        write_record: (payload: number, length: number) => this.write(payload, length, 0),
        write_record_with_options: (payload: number, length: number, options: number, optionsLength: number) =>
          this.writeWithOptions(payload, length, options, optionsLength),
      },
      [REGISTRY]: registryImports(memory, new SchemaTable(setup.schemas)),
      [WASI]: this.wasi.imports,
    });
    const exports = instance.exports as unknown as Exports;
    memory.attach(exports.memory);
    this.fuel = fuelOf(instance.exports, setup.fuel);
    return new Promise((resolve, reject) => {
      this.hostTurn = { resolve, reject };
      WebAssembly.promising(exports[START] as () => void)().then(
        () => this.end(new GuestFault('EXITED', 'the module ended by itself')),
        error => this.end(error instanceof Exit ? asFault(error, this.input !== null) : error),
      );
    });
  }

  /** Nothing will come from this instance any more. */
  private end(error: unknown): void {
    this.ended = error;
    this.wasi.flush();
    this.hostTurn?.reject(error);
    this.hostTurn = null;
  }

  private readBatchHeader(pointers: number[]): Promise<number> {
    const { input, output, hostTurn } = this;
    if (input && input.index + 1 < input.count) {
      const unread = input.index + 1;
      const reason = `the module asked for the next batch and left ${input.count - unread} records of this one unread`;
      this.cell[CELL.record] = unread;
      throw new GuestFault('UNREAD', reason, unread);
    }
    this.input = null;
    this.hostTurn = null;
    this.wasi.flush();
    return new Promise((resolve, reject) => {
      this.guestTurn = { resolve, reject, pointers };
      hostTurn?.resolve(input ? output.finish() : null);
    });
  }

  /** The header's ten fields, little endian; returns the size of the longest record. */
  private writeHeader(input: InputFrame, pointers: number[]): number {
    const { memory } = this;
    const { longest, baseOffset, lastOffset, baseTimestamp, maxTimestamp } = input.summary();
    const at = (i: number): number => pointers[i] as number;
    memory.setI64(at(0), baseOffset);
    memory.setU32(at(1), input.count);
    memory.setU32(at(2), -1);
    memory.view.setInt16(memory.check(at(3), 2), 0, true);
    memory.setU32(at(4), lastOffset - baseOffset);
    memory.setI64(at(5), baseTimestamp);
    memory.setI64(at(6), maxTimestamp);
    memory.setI64(at(7), -1);
    memory.view.setInt16(memory.check(at(8), 2), -1, true);
    memory.setU32(at(9), -1);
    return longest;
  }

  private readNextRecord(
    attributes: number,
    timestamp: number,
    offset: number,
    buffer: number,
    length: number,
  ): number {
    const { input, memory } = this;
    if (!input || input.index + 1 >= input.count) return NO_ACTIVE_TRANSFORM;
    const size = input.nextSize();
    if (length >>> 0 < size) return INVALID_BUFFER;
    input.next();
    this.cell[CELL.record] = input.index;
    this.output.forRecord(input.index, size);
    this.wasi.atRecord(input.offset, input.timestamp);
    const to = memory.at(buffer, size);
    memory.bytes[memory.check(attributes, 1)] = 0;
    memory.setI64(timestamp, input.timestamp);
    memory.setI64(offset, input.offset);
    to.set(input.bytes.subarray(input.bodyFrom, input.bodyTo));
    return size;
  }

  private write(payload: number, length: number, route: number): number {
    if (!this.input) return NO_ACTIVE_TRANSFORM;
    const { memory, output } = this;
    const from = memory.check(payload, length);
    if (isPlainBody(memory.bytes, from, from + length)) {
      const { body, at } = output.add(length, route);
      body.set(memory.bytes.subarray(from, from + length), at);
      return length;
    }
    const plain = plainBody(memory.at(payload, length));
    if (!plain) return INVALID_BUFFER;
    const { body, at } = output.add(plain.length, route);
    body.set(plain, at);
    return length;
  }

  private writeWithOptions(payload: number, length: number, options: number, optionsLength: number): number {
    if (!this.input) return NO_ACTIVE_TRANSFORM;
    const topic = topicOf(this.memory.at(options, optionsLength));
    if (topic === null) return INVALID_BUFFER;
    const route = this.routes.get(topic);
    // What is no record is told before what goes nowhere.
    if (route !== undefined) return this.write(payload, length, route);
    return plainBody(this.memory.at(payload, length)) ? INVALID_WRITE : INVALID_BUFFER;
  }
}

/** While it starts, how it ended is all there is to say; later it is a record's failure. */
function asFault(exit: Exit, atWork: boolean): Error {
  return atWork ? new GuestFault('EXITED', exit.message) : exit;
}
