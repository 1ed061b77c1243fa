const STARS = '***';
/** A text may have been cut in the middle of a secret: so much of its beginning is hidden at the end, too. */
const LEAST_PART = 4;

/** Takes secrets out of whatever is said about a module or by it. */
export function maskOf(secrets: readonly string[]): (text: string) => string {
  // As they are, and as they stand in JSON; the longest first, as one may hold another.
  const forms = [...new Set(secrets.flatMap(each => [each, JSON.stringify(each).slice(1, -1)]))];
  forms.sort((a, b) => b.length - a.length);
  if (forms.length === 0) return text => text;
  return text => {
    let masked = text;
    for (const form of forms) masked = masked.replaceAll(form, STARS);
    for (const form of forms) {
      for (let length = form.length - 1; length >= LEAST_PART; length--) {
        if (!masked.endsWith(form.slice(0, length))) continue;
        masked = masked.slice(0, -length) + STARS;
        break;
      }
    }
    return masked;
  };
}
