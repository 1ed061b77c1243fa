/** `secret_key = "…"` and its like in TOML: up to the value, and the value. */
const SECRET =
  /((?:secret|password|passphrase|token|secret_key|access_key)["']?\s*=\s*)("[^"\n]*"|'[^'\n]*'|[^\s,}#]+)/g;

/** A file's text for showing lines of it: values of secret keys, and these values, are stars; everything stands where it
 * stood. */
export function maskSecrets(text: string, values: readonly string[] = []): string {
  const masked = text.replace(SECRET, (_, before: string, value: string) => before + value.replace(/[^"']/g, '*'));
  // As they are, and as they stand between double quotes.
  const forms = values.flatMap(value => [value, JSON.stringify(value).slice(1, -1)]);
  return forms.reduce((shown, value) => shown.replaceAll(value, '*'.repeat(value.length)), masked);
}
