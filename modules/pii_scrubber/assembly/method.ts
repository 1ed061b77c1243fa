import { Json } from 'millstream/assembly';

const MASK = 0;
const SHA256 = 1;
const REMOVE = 2;

/** What happens to a value that a field names. */
@final
export class Method {
  private kind: i32 = MASK;
  private keep: i32 = 0;

  configure(config: Json): string | null {
    const method = config.get('method').text('mask');
    if (method == 'mask') this.kind = MASK;
    else if (method == 'sha256') this.kind = SHA256;
    else if (method == 'remove') this.kind = REMOVE;
    else return '`method` must be "mask", "sha256" or "remove", not "' + method + '"';
    return null;
  }

  // @ts-ignore: decorator
  @inline
  get removes(): bool {
    return this.kind == REMOVE;
  }

  /** At most this many bytes are written in place of `length` bytes. */
  sizeFor(length: i32): i32 {
    return 5;
  }

  /** Writes what stands in place of the value; returns the address behind it. */
  write(to: usize, from: usize, end: usize): usize {
    store<u32>(to, 0x2a2a2a22); // "***
    store<u8>(to, 0x22, 4);
    return to + 5;
  }
}
