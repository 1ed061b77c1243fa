/** `secret_key = "…"` and its like in TOML: up to the value, and the value. */
const SECRET =
  /((?:secret|password|passphrase|token|secret_key|access_key)["']?\s*=\s*)("[^"\n]*"|'[^'\n]*'|[^\s,}#]+)/g;

/** A file's text for showing lines of it: values of secret keys are stars, everything stands where it stood. */
export function maskSecrets(text: string): string {
  return text.replace(SECRET, (_, before: string, value: string) => before + value.replace(/[^"']/g, '*'));
}
