/** 10^0 to 10^22 are exact as f64. */
const POWERS = memory.data<f64>([
  1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
  1e21, 1e22,
]);
const EXACT: u64 = 9007199254740992;

/** A checked JSON number. Up to 2^53 and 22 digits behind the point one division gives the nearest f64. */
export function parseNumber(from: usize, to: usize): f64 {
  let digits: u64 = 0;
  let behind: usize = 0;
  let at = from;
  const negative = load<u8>(at) == 0x2d;
  if (negative) at++;
  for (; at < to; at++) {
    const byte = load<u8>(at);
    if (byte == 0x2e) {
      behind = at + 1;
      continue;
    }
    const digit = <u64>byte - 0x30;
    if (digit > 9 || digits > EXACT / 16) return <f64>parseFloat(String.UTF8.decodeUnsafe(from, to - from));
    digits = digits * 10 + digit;
  }
  const scale = behind == 0 ? 0 : to - behind;
  if (scale > 22) return <f64>parseFloat(String.UTF8.decodeUnsafe(from, to - from));
  const value = <f64>digits / load<f64>(POWERS + (scale << 3));
  return negative ? -value : value;
}

/** As JSON.stringify writes it; null for what JSON cannot say. */
export function numberText(value: f64): string {
  if (!isFinite(value)) return 'null';
  if (value == Math.trunc(value) && Math.abs(value) < 1e15) return (<i64>value).toString();
  return value.toString();
}
