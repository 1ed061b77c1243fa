import { z } from 'zod';
import { MillstreamError } from '../../../core/base/errors.ts';
import { size } from '../../../core/base/units.ts';
import type { FoundModule } from '../../../etl/definition/module-ref.ts';
import { type ReadOptions, type ReadResult, readPipeline } from '../../../etl/definition/read-pipeline.ts';

/** Connectors as a connector author may write them: one strict, one not. */
const file = z.strictObject({ path: z.string().min(1), rotate: z.strictObject({ bytes: size() }).optional() });
const kafka = z.object({ brokers: z.array(z.string()), topic: z.string(), port: z.number().int().default(9092) });
const follow = z.strictObject({ path: z.string(), follow: z.boolean().default(false) });

const MODULES: FoundModule[] = [
  {
    name: 'pii_scrubber',
    version: '1.2.0',
    sha256: 'ab'.repeat(32),
    abi: 'millstream-core',
    redacts: true,
    configSchema: {
      type: 'object',
      additionalProperties: false,
      required: ['fields'],
      properties: {
        fields: { type: 'array', items: { type: 'string' }, minItems: 1 },
        method: { enum: ['mask', 'sha256'], default: 'mask' },
        salt: { type: 'string' },
        rounds: { type: 'integer', minimum: 1 },
      },
    },
  },
  {
    name: 'counter',
    version: '1.0.0',
    sha256: 'ef'.repeat(32),
    abi: 'millstream-core',
    redacts: false,
    state: { timers: false },
  },
  { name: 'passthrough', version: '1.0.0', sha256: 'cd'.repeat(32), abi: 'millstream-core', redacts: false },
  { name: 'wasm/mask.wasm', version: '0.0.0', sha256: '12'.repeat(32), abi: 'redpanda', redacts: false },
  { name: 'keep', version: '1.0.0', sha256: '34'.repeat(32), abi: 'fluvio', redacts: false },
];

export const options: ReadOptions = {
  mode: 'run',
  env: {},
  readFile: path => {
    throw new Error(`no such file: ${path}`);
  },
  sinkTypes: new Map<string, z.ZodType>([
    ['file', file],
    ['kafka', kafka],
  ]),
  sourceTypes: new Map<string, z.ZodType>([['file', follow]]),
  modules: {
    find: (name, version, sha256) => {
      if (name === 'wasm/broken.wasm') throw new MillstreamError('invalid', 'MODULE_REFUSED', `${name}: it is refused`);
      return (
        MODULES.find(
          each =>
            each.name === name &&
            (version === null || each.version.startsWith(version)) &&
            (sha256 === null || each.sha256.startsWith(sha256)),
        ) ?? null
      );
    },
    names: () => MODULES.map(each => each.name),
  },
};

export function read(text: string, more: Partial<ReadOptions> = {}): ReadResult {
  return readPipeline(text, 'orders.toml', { ...options, ...more });
}

/** `line:column severity message (help)` of each finding. */
export function lint(text: string, more: Partial<ReadOptions> = {}): string[] {
  return read(text, more).diagnostics.map(
    each =>
      `${each.line}:${each.column} ${each.severity === 'warning' ? 'warning: ' : ''}${each.message}${each.help ? ` (${each.help})` : ''}`,
  );
}
