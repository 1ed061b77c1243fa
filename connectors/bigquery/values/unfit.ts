/** Why a value does not fit its column, in words that end a sentence: "expected INT64, got \"x\"". */
export class Unfit extends Error {}

const MOST_SHOWN = 40;

export function expected(what: string, value: unknown): Unfit {
  return new Unfit(`expected ${what}, got ${shown(value)}`);
}

/** The value as JSON, cut short: it goes into a dead letter's reason. */
function shown(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  const text = JSON.stringify(value) ?? String(value);
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}...` : text;
}
