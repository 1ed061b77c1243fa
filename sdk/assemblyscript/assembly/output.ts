import { allocateLasting } from './arena';
import { Record } from './record';

/*
 * Output frame, little endian: u8 version, u8 flags, u16 header length (8), u32 count; then per record u32 input index,
 * u16 route, u16 flags (1 = has timestamp), [i64 timestamp], u32 body length, body.
 */
const HEADER_BYTES: usize = 8;
/** Everything of a record but its body. */
const RECORD_BYTES: usize = 20;
const HAS_TIMESTAMP: u16 = 1;

/** Where records go. What is not emitted is dropped. */
@final
export class Output {
  private from: usize = 0;
  private at: usize = 0;
  private end: usize = 0;
  private count: u32 = 0;
  private recordAt: usize = 0;
  private recordCount: u32 = 0;
  private names: string[] = ['default'];

  /** On to the next step, or to the default output. */
  // @ts-ignore: decorator
  @inline
  emit(record: Record): void {
    this.write(0, record);
  }

  /** To a named output of the pipeline; the record leaves the chain there. An output that the pipeline does not have
   * fails the record (code UNKNOWN_OUTPUT); ask `has` in `configure` to refuse such a pipeline at once. */
  to(output: string, record: Record): void {
    const route = this.names.indexOf(output);
    if (route < 0)
      record.fail(
        'UNKNOWN_OUTPUT',
        'the module sends records to "' + output + '", which is no output of this pipeline',
      );
    else this.write(<u16>route, record);
  }

  has(output: string): bool {
    return this.names.includes(output);
  }

  /** SDK */
  setNames(names: string[]): void {
    this.names = names;
  }

  /** SDK: starts a frame; `expected` bytes are likely enough. */
  open(expected: usize): void {
    if (this.end - this.from < expected) {
      this.from = allocateLasting(expected);
      this.end = this.from + expected;
    }
    this.at = this.from + HEADER_BYTES;
    this.count = 0;
  }

  /** SDK */
  // @ts-ignore: decorator
  @inline
  openRecord(): void {
    this.recordAt = this.at;
    this.recordCount = this.count;
  }

  /** SDK: takes back what the record emitted. */
  voidRecord(): void {
    this.at = this.recordAt;
    this.count = this.recordCount;
  }

  /** SDK: the frame's address and length, 0 when nothing was emitted. */
  close(): i64 {
    if (this.count == 0) return 0;
    store<u32>(this.from, 1 | ((<u32>HEADER_BYTES) << 16));
    store<u32>(this.from, this.count, 4);
    return ((<i64>this.from) << 32) | <i64>(this.at - this.from);
  }

  private write(route: u16, record: Record): void {
    if (record.failed) return;
    const room = RECORD_BYTES + record.maxBodySize();
    if (this.at + room > this.end) this.grow(room);
    let at = this.at;
    store<u32>(at, record.index);
    store<u16>(at, route, 4);
    if (record.hasNewTimestamp) {
      store<u16>(at, HAS_TIMESTAMP, 6);
      store<i64>(at, record.timestamp, 8);
      at += 16;
    } else {
      store<u16>(at, 0, 6);
      at += 8;
    }
    const body = at + 4;
    const end = record.write(body);
    store<u32>(at, <u32>(end - body));
    this.at = end;
    this.count++;
  }

  private grow(room: usize): void {
    const used = this.at - this.from;
    const size = max((this.end - this.from) * 2, used + room);
    const bigger = allocateLasting(size);
    memory.copy(bigger, this.from, used);
    this.recordAt = bigger + (this.recordAt - this.from);
    this.from = bigger;
    this.at = bigger + used;
    this.end = bigger + size;
  }
}
