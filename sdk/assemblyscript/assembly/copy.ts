/** From here on the engine's own copy is faster; below it, its call costs more than the copying. */
const FAR: i32 = 512;

/** As memory.copy, for areas that do not overlap; much faster for the lengths of keys, values and headers. */
// @ts-ignore: decorator
@inline
export function copy(to: usize, from: usize, length: i32): void {
  if (<u32>(length - 16) <= <u32>(FAR - 16)) {
    const last = length - 16;
    for (let i = 0; i < last; i += 16) v128.store(to + i, v128.load(from + i));
    v128.store(to + last, v128.load(from + last));
  } else copyShortOrFar(to, from, length);
}

function copyShortOrFar(to: usize, from: usize, length: i32): void {
  if (length >= 16) memory.copy(to, from, length);
  else if (length >= 8) {
    const last = load<u64>(from + length - 8);
    store<u64>(to, load<u64>(from));
    store<u64>(to + length - 8, last);
  } else if (length >= 4) {
    const last = load<u32>(from + length - 4);
    store<u32>(to, load<u32>(from));
    store<u32>(to + length - 4, last);
  } else for (let i = 0; i < length; i++) store<u8>(to + i, load<u8>(from + i));
}
