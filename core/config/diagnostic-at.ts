import type { Diagnostic } from './diagnostic.ts';
import { dotted, type Path, type TomlDocument } from './toml.ts';

/** A finding at a key or value of the document. */
export function diagnosticAt(
  document: TomlDocument,
  path: Path,
  where: 'key' | 'value',
  finding: { severity?: 'error' | 'warning'; message: string; help?: string | undefined },
): Diagnostic {
  const span = where === 'key' ? document.keyAt(path) : document.valueAt(path);
  return {
    file: document.file,
    line: span.line,
    column: span.column,
    ...(span.endColumn === Number.MAX_SAFE_INTEGER ? {} : { endColumn: span.endColumn }),
    severity: finding.severity ?? 'error',
    message: finding.message,
    ...(finding.help === undefined ? {} : { help: finding.help }),
    path: dotted(path),
  };
}
