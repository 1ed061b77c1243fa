import { Bytes, Json, copy, quoteTo, quotedSize, sha256, writeHex } from 'millstream/assembly';

const MASK = 0;
const SHA256 = 1;
const REMOVE = 2;

const DIGEST_BYTES = 32;
/** 64 hex digits in quotes. */
const HASHED_BYTES = 66;
const STARS = 3;
const digest = memory.data(32);

/** What happens to a value that a field names. */
@final
export class Method {
  private kind: i32 = MASK;
  private keep: i32 = 0;
  private salt: Bytes = new Bytes(0, 0);

  configure(config: Json): string | null {
    const method = config.get('method').text('mask');
    if (method == 'mask') this.kind = MASK;
    else if (method == 'sha256') this.kind = SHA256;
    else if (method == 'remove') this.kind = REMOVE;
    else return '`method` must be "mask", "sha256" or "remove", not "' + method + '"';

    const salt = config.get('salt');
    if (salt.exists && !salt.isString) return '`salt` must be a string';
    if (salt.isString) this.salt = salt.utf8();
    const keep = config.get('keep').number(0);
    if (keep < 0 || keep > 1000 || keep != Math.trunc(keep)) return '`keep` must be a whole number from 0 to 1000';
    this.keep = <i32>keep;
    return null;
  }

  // @ts-ignore: decorator
  @inline
  get removes(): bool {
    return this.kind == REMOVE;
  }

  /** At most this many bytes are written in place of `length` bytes. */
  sizeFor(length: i32): i32 {
    if (this.kind == SHA256) return HASHED_BYTES;
    return STARS + (this.keep == 0 ? 2 : quotedSize(length));
  }

  /** Writes what stands in place of the value (JSON text); returns the address behind it. */
  write(to: usize, from: usize, end: usize): usize {
    const value = new Json(from, end);
    if (this.kind == SHA256) return this.writeHash(to, value.utf8());
    store<u32>(to, 0x2a2a2a22); // "***
    if (this.keep > 0 && value.isString) {
      const text = value.utf8();
      const kept = this.keptFrom(text);
      // quoteTo's opening quote overwrites the last star, which is then put back.
      const behind = quoteTo(to + STARS, kept, text.ptr + text.length);
      store<u8>(to, 0x2a, STARS);
      return behind;
    }
    store<u8>(to, 0x22, 4);
    return to + 5;
  }

  private writeHash(to: usize, text: Bytes): usize {
    let from = text.ptr;
    const salt = this.salt.length;
    if (salt > 0) {
      from = heap.alloc(salt + text.length);
      copy(from, this.salt.ptr, salt);
      copy(from + salt, text.ptr, text.length);
    }
    sha256(digest, from, salt + text.length);
    store<u8>(to, 0x22);
    const behind = writeHex(to + 1, digest, DIGEST_BYTES);
    store<u8>(behind, 0x22);
    return behind + 1;
  }

  /** Where the last `keep` characters begin; the end when that would show more than half of them. */
  private keptFrom(text: Bytes): usize {
    const end = text.ptr + text.length;
    let characters = 0;
    let kept = end;
    for (let at = end; at > text.ptr; ) {
      if ((load<u8>(--at) & 0xc0) == 0x80) continue;
      if (++characters == this.keep) kept = at;
    }
    return characters >= 2 * this.keep ? kept : end;
  }
}
