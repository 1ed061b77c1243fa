import { GuestMemory } from './guest-memory.ts';
import { WASI_FUNCTIONS } from './wasi-functions.ts';

/*
 * WASI preview 1 as far as a transform may have it: arguments, environment, a clock, randomness and two output streams.
 * Nothing here comes from the machine. The clock is the time of the record at hand, monotonic clocks go on by 1 ms with
 * each look, random bytes depend on the partition and the record's offset. Sleeping takes no time, but the clock that it goes
 * by moves to its end: a runtime that looks whether it has slept enough must see that it has. There are no files and no
 * network: such calls answer ENOSYS (52), as Redpanda's do.
 */

const ERRNO = { success: 0, badf: 8, inval: 28, nosys: 52 } as const;
const REALTIME = 0;
const LAST_CLOCK = 3;
const EVENT_CLOCK = 0;
const ABSOLUTE = 1;
const NS_PER_MS = 1_000_000;
/** Nanoseconds of a later time would not fit into a signed 64-bit integer. */
const LAST_MS = 9_223_372_036_854;
const SUBSCRIPTION_BYTES = 48;
const EVENT_BYTES = 32;
const LINE_BYTES = 1024;
const LAST_WORDS_BYTES = 1024;
const LEVELS: Readonly<Record<number, number>> = { 1: 1, 2: 2 };
const STDERR = 2;

/** The guest ended itself. */
export class Exit extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`the module ended itself with exit code ${code}`);
    this.code = code;
  }
}

export interface WasiOptions {
  memory: GuestMemory;
  args: string[];
  /** Names hold no `=`. */
  env: ReadonlyMap<string, string>;
  /** What the randomness of all records hangs on. */
  seed: string;
  log: (level: number, line: () => string) => void;
}

export class Wasi {
  readonly imports: Readonly<Record<string, (...args: never[]) => unknown>>;
  private readonly memory: GuestMemory;
  private readonly options: WasiOptions;
  private readonly seed: number;
  private timestamp = 0;
  private monotonicMs = 0;
  private random = 0;
  /** What has been written behind the last line break, by file descriptor. */
  private readonly partial: Record<number, string> = { 1: '', 2: '' };
  private words = '';

  constructor(options: WasiOptions) {
    this.options = options;
    this.memory = options.memory;
    this.seed = hash(options.seed);
    this.random = this.seed;
    const nothing = (): number => ERRNO.nosys;
    const given = this.given();
    this.imports = Object.fromEntries(Object.keys(WASI_FUNCTIONS).map(name => [name, given[name] ?? nothing]));
  }

  /** The next record: its time is the clock's, its offset seeds the randomness. */
  atRecord(offset: number, timestamp: number): void {
    this.timestamp = Math.max(timestamp, 0);
    this.random = hash(`${this.seed}/${offset}`);
    this.words = '';
  }

  /** What it wrote to its standard error since the record began, without the advice of its language. */
  get lastWords(): string {
    return this.words.replace(/^note: run with `RUST_BACKTRACE.*$/m, '').trim();
  }

  /** Gives out lines that were not ended. */
  flush(): void {
    for (const fd of [1, 2]) if (this.partial[fd]) this.line(fd);
  }

  private given(): Record<string, (...args: never[]) => unknown> {
    const { memory, options } = this;
    const env = [...options.env].map(([name, value]) => `${name}=${value}`);
    return {
      args_sizes_get: (count: number, size: number) => this.sizes(options.args, count, size),
      args_get: (pointers: number, text: number) => this.texts(options.args, pointers, text),
      environ_sizes_get: (count: number, size: number) => this.sizes(env, count, size),
      environ_get: (pointers: number, text: number) => this.texts(env, pointers, text),
      clock_res_get: (id: number, result: number) => {
        if (id < 0 || id > LAST_CLOCK) return ERRNO.inval;
        memory.setI64(result, NS_PER_MS);
        return ERRNO.success;
      },
      clock_time_get: (id: number, _precision: bigint, result: number) => {
        if (id < 0 || id > LAST_CLOCK) return ERRNO.inval;
        const ms = Math.min(id === REALTIME ? this.timestamp : this.monotonicMs++, LAST_MS);
        memory.view.setBigUint64(memory.check(result, 8), BigInt(ms) * BigInt(NS_PER_MS), true);
        return ERRNO.success;
      },
      random_get: (pointer: number, length: number) => {
        this.fill(memory.at(pointer, length));
        return ERRNO.success;
      },
      sched_yield: () => ERRNO.success,
      proc_exit: (code: number) => {
        throw new Exit(code);
      },
      // Those three are there, though nothing can be done with them; who looks for folders has seen all there are.
      fd_prestat_get: (fd: number) => (fd >= 0 && fd <= 2 ? ERRNO.nosys : ERRNO.badf),
      fd_write: (fd: number, vectors: number, count: number, written: number) =>
        this.write(fd, vectors, count, written),
      poll_oneoff: (subscriptions: number, events: number, count: number, result: number) =>
        this.poll(subscriptions, events, count, result),
    };
  }

  private sizes(texts: string[], count: number, size: number): number {
    this.memory.setU32(count, texts.length);
    this.memory.setU32(
      size,
      texts.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0),
    );
    return ERRNO.success;
  }

  private texts(texts: string[], pointers: number, at: number): number {
    texts.forEach((text, i) => {
      const bytes = Buffer.from(`${text}\0`);
      this.memory.setU32(pointers + 4 * i, at);
      this.memory.at(at, bytes.length).set(bytes);
      at += bytes.length;
    });
    return ERRNO.success;
  }

  private fill(target: Uint8Array): void {
    let state = this.random;
    for (let i = 0; i < target.length; i++) {
      // Numerical Recipes' generator; its high bits are the good ones.
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      target[i] = state >>> 24;
    }
    this.random = state;
  }

  /** An array of { pointer, length }. */
  private write(fd: number, vectors: number, count: number, written: number): number {
    if (LEVELS[fd] === undefined) return ERRNO.nosys;
    const { memory } = this;
    const from = memory.check(vectors, (count >>> 0) * 8);
    let total = 0;
    for (let i = 0; i < count; i++) {
      const pointer = memory.view.getUint32(from + 8 * i, true);
      const length = memory.view.getUint32(from + 8 * i + 4, true);
      memory.check(pointer, length);
      // No more than two lines' worth of one piece is of any use.
      this.print(fd, memory.text(pointer, Math.min(length, 2 * LINE_BYTES)));
      total += length;
    }
    memory.setU32(written, total);
    return ERRNO.success;
  }

  private print(fd: number, text: string): void {
    if (fd === STDERR && this.words.length < LAST_WORDS_BYTES) {
      this.words = (this.words + text).slice(0, LAST_WORDS_BYTES);
    }
    const lines = text.split('\n');
    const rest = lines.pop() ?? '';
    for (const line of lines) {
      this.partial[fd] += line;
      this.line(fd);
    }
    this.partial[fd] = (this.partial[fd] + rest).slice(0, LINE_BYTES);
  }

  private line(fd: number): void {
    const line = (this.partial[fd] ?? '').slice(0, LINE_BYTES);
    this.partial[fd] = '';
    if (line !== '') this.options.log(LEVELS[fd] as number, () => line);
  }

  /**
   * The clocks that ring first ring at once, and it is then; the others have not rung yet. Nothing else can be waited for.
   * Layouts: WASI preview 1, `subscription` and `event`.
   */
  private poll(subscriptions: number, events: number, count: number, result: number): number {
    const { memory } = this;
    const from = memory.check(subscriptions, (count >>> 0) * SUBSCRIPTION_BYTES);
    const to = memory.check(events, (count >>> 0) * EVENT_BYTES);
    const { view } = memory;
    // All of it is read before anything is written: the two arrays may lie on one another.
    const waits = Array.from({ length: count >>> 0 }, (_, i) => this.subscription(view, from + i * SUBSCRIPTION_BYTES));
    const first = waits.reduce((least, { ms }) => Math.min(least, ms), Number.POSITIVE_INFINITY);
    const rung = waits.filter(({ ms }) => ms === first);
    const slept = (realtime: boolean): number =>
      rung.some(({ clock }) => clock !== null && (clock === REALTIME) === realtime) ? first : 0;
    this.timestamp += slept(true);
    this.monotonicMs += slept(false);
    rung.forEach(({ userdata, kind }, i) => {
      const event = to + i * EVENT_BYTES;
      memory.bytes.fill(0, event, event + EVENT_BYTES);
      view.setBigUint64(event, userdata, true);
      view.setUint16(event + 8, kind === EVENT_CLOCK ? ERRNO.success : ERRNO.nosys, true);
      view.setUint8(event + 10, kind);
    });
    memory.setU32(result, rung.length);
    return ERRNO.success;
  }

  /** A clock's id (u32 at 16), timeout (u64 in nanoseconds at 24) and flags (u16 at 40); whatever else there is is ready. */
  private subscription(view: DataView, at: number) {
    const kind = view.getUint8(at + 8);
    const userdata = view.getBigUint64(at, true);
    if (kind !== EVENT_CLOCK) return { userdata, kind, clock: null, ms: 0 };
    const clock = view.getUint32(at + 16, true);
    const timeout = Math.ceil(Number(view.getBigUint64(at + 24, true)) / NS_PER_MS);
    const now = clock === REALTIME ? this.timestamp : this.monotonicMs;
    const ms = (view.getUint16(at + 40, true) & ABSOLUTE) === 0 ? timeout : Math.max(timeout - now, 0);
    return { userdata, kind, clock, ms };
  }
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}
