import { type Diagnostic, hasErrors, sortDiagnostics } from '../../core/config/diagnostic.ts';
import { type Interpolated, interpolate } from '../../core/config/interpolate.ts';
import { dotted, parseToml, type Path, type TomlDocument } from '../../core/config/toml.ts';
import { check } from '../../core/config/zod-diagnostics.ts';
import { Checker } from './checker.ts';
import { explainUnknownKey, type FileShape, fileShape, shapeHint } from './explain-keys.ts';
import type { ModuleCatalog } from './module-ref.ts';
import type { PipelinePlan } from './plan.ts';
import { planOf } from './plan-of.ts';
import { checkRules } from './rules.ts';
import type { ConnectorSchemas, PipelineFile } from './schema.ts';

export interface ReadOptions {
  /** `run`: an unset variable without default is an error; `lint`: a warning. */
  mode: 'run' | 'lint';
  env: Readonly<Record<string, string | undefined>>;
  /** For `${file:...}`; throws when there is no such file. */
  readFile: (path: string) => string;
  sinkTypes: ConnectorSchemas;
  sourceTypes: ConnectorSchemas;
  modules: ModuleCatalog;
  /** Environment names that this file may use; null or left out: all. */
  allowEnv?: readonly string[] | null;
}

export interface ReadResult {
  /** null when there are errors. In `lint` mode, tables that hang on an unset variable are in it as they stand. */
  plan: PipelinePlan | null;
  /** In the order of the file. */
  diagnostics: Diagnostic[];
  /** Dotted paths of the values that hang on a variable that is not set. */
  unresolved: string[];
  /** Values of modules' configs that are shown nowhere. */
  secrets: string[];
}

/** Reads, interpolates and checks one pipeline file. Never throws for what the file says. */
export function readPipeline(text: string, file: string, options: ReadOptions): ReadResult {
  const { document, diagnostics } = parseToml(text, file);
  if (!document) return { plan: null, diagnostics, unresolved: [], secrets: [] };
  // Test cases bring their own environment, and their records may well hold dollar signs.
  const interpolated = interpolate(document, { ...options, skip: path => path[0] === 'test' });
  diagnostics.push(...interpolated.diagnostics);

  const shape = fileShape(options.sinkTypes, options.sourceTypes);
  const base = readBase(document, interpolated, shape);
  diagnostics.push(...base.diagnostics);
  let plan: PipelinePlan | null = null;
  let secrets: string[] = [];
  if (base.data) {
    const checker = new Checker(document, interpolated, options, shape);
    checkRules(base.data, checker);
    plan = planOf(base.data, file, checker);
    diagnostics.push(...checker.diagnostics);
    ({ secrets } = checker);
  }
  const sorted = sortDiagnostics(diagnostics);
  const unresolved = [...interpolated.unresolved];
  return { plan: hasErrors(sorted) ? null : plan, diagnostics: sorted, unresolved, secrets };
}

function readBase(
  document: TomlDocument,
  interpolated: Interpolated,
  shape: FileShape,
): { data: PipelineFile | null; diagnostics: Diagnostic[] } {
  const run = (value: unknown): ReturnType<typeof check<PipelineFile>> =>
    check(shape.schema, value, {
      document,
      touched: interpolated.touched,
      unresolved: interpolated.unresolved,
      explainUnknown: unknown => explainUnknownKey(unknown, document, shape),
    });
  const first = run(interpolated.value);
  if (first.data !== null || first.diagnostics.length > 0) {
    return {
      data: first.data,
      diagnostics: first.diagnostics.map(each => (each.help === undefined ? { ...each, ...shapeHint(each) } : each)),
    };
  }
  // Only unset variables stand in the way: without them the defaults take their place.
  return run(without(interpolated.value, [], interpolated.unresolved));
}

function without(value: unknown, path: Path, removed: ReadonlySet<string>): unknown {
  if (Array.isArray(value)) return value.map((each: unknown, i) => without(each, [...path, i], removed));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !removed.has(dotted([...path, key])))
      .map(([key, each]) => [key, without(each, [...path, key], removed)]),
  );
}
