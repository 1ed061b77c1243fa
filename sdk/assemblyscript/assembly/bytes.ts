/** A view of bytes in memory: no copy, valid until the record has been handled. A null value has length -1. */
@final
export class Bytes {
  constructor(
    public ptr: usize = 0,
    public length: i32 = -1,
  ) {}

  /** A string's UTF-8. */
  static of(text: string): Bytes {
    const buffer = String.UTF8.encode(text);
    return new Bytes(changetype<usize>(buffer), buffer.byteLength);
  }

  get isNull(): bool {
    return this.length < 0;
  }

  /** The bytes as text (UTF-8); empty when null. */
  toString(): string {
    return this.length <= 0 ? '' : String.UTF8.decodeUnsafe(this.ptr, this.length);
  }

  /** Is it this text in UTF-8? A null value is none. */
  equals(text: string): bool {
    const length = text.length;
    for (let i = 0; i < length; i++) {
      const unit = load<u16>(changetype<usize>(text) + ((<usize>i) << 1));
      if (unit >= 0x80) return this.length >= 0 && this.toString() == text;
      if (i >= this.length || unit != <u16>load<u8>(this.ptr + i)) return false;
    }
    return this.length == length;
  }
}
