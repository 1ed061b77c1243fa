import type { z } from 'zod';
import { asMillstreamError } from '../../core/base/errors.ts';
import type { Diagnostic } from '../../core/config/diagnostic.ts';
import { diagnosticAt } from '../../core/config/diagnostic-at.ts';
import type { Interpolated } from '../../core/config/interpolate.ts';
import { dotted, type Path, type TomlDocument } from '../../core/config/toml.ts';
import { check } from '../../core/config/zod-diagnostics.ts';
import { explainUnknownKey, type FileShape } from './explain-keys.ts';
import type { FoundModule, ModuleCatalog, ModuleRef } from './module-ref.ts';
import { secretsIn } from './secrets.ts';
import type { ConnectorSchemas } from './schema.ts';

interface Types {
  sinkTypes: ConnectorSchemas;
  sourceTypes: ConnectorSchemas;
  modules: ModuleCatalog;
}

/** Gathers the findings of one file's second pass: rules, connector tables, module configs. */
export class Checker {
  readonly diagnostics: Diagnostic[] = [];
  /** Of all steps. */
  readonly secrets: string[] = [];
  readonly document: TomlDocument;
  readonly types: Types;
  private readonly interpolated: Interpolated;
  private readonly shape: FileShape;

  constructor(document: TomlDocument, interpolated: Interpolated, types: Types, shape: FileShape) {
    this.shape = shape;
    this.document = document;
    this.interpolated = interpolated;
    this.types = types;
  }

  error(path: Path, message: string, help?: string, where: 'key' | 'value' = 'value'): void {
    this.diagnostics.push(diagnosticAt(this.document, path, where, { message, help }));
  }

  warning(path: Path, message: string, help?: string, where: 'key' | 'value' = 'value'): void {
    this.diagnostics.push(diagnosticAt(this.document, path, where, { severity: 'warning', message, help }));
  }

  /** Checks the table at `path`; gives its value with defaults, or as it stands when it hangs on unset variables. */
  table(schema: z.ZodType, value: unknown, path: Path): unknown {
    const { data, diagnostics } = check(schema, value, {
      document: this.document,
      base: path,
      touched: this.interpolated.touched,
      unresolved: this.interpolated.unresolved,
      explainUnknown: unknown => explainUnknownKey(unknown, this.document, this.shape),
    });
    this.diagnostics.push(...diagnostics);
    return data ?? value;
  }

  /** Does the value hang on a variable that is not set? */
  isUnresolved(path: Path): boolean {
    return this.interpolated.unresolved.has(dotted(path));
  }

  /** The secrets in a step's config, which stands at `path`. */
  secretsIn(path: Path, config: unknown, schema: object | null): string[] {
    const { touched } = this.interpolated;
    const found = secretsIn(config, schema, below => touched.has(dotted([...path, ...below])));
    this.secrets.push(...found);
    return found;
  }

  /** The module, or what is wrong with it. */
  findModule({ name, version, sha256 }: ModuleRef): FoundModule | string | null {
    try {
      return this.types.modules.find(name, version, sha256);
    } catch (error) {
      return asMillstreamError(error).message;
    }
  }
}
