/** A view of bytes in memory: no copy, valid until the record has been handled. A null value has length -1. */
@final
export class Bytes {
  constructor(
    public ptr: usize = 0,
    public length: i32 = -1,
  ) {}

  get isNull(): bool {
    return this.length < 0;
  }

  /** The bytes as text (UTF-8); empty when null. */
  toString(): string {
    return this.length <= 0 ? '' : String.UTF8.decodeUnsafe(this.ptr, this.length);
  }

  equals(text: string): bool {
    const length = String.UTF8.byteLength(text);
    if (length != this.length) return false;
    const bytes = String.UTF8.encode(text);
    return memory.compare(this.ptr, changetype<usize>(bytes), length) == 0;
  }
}
