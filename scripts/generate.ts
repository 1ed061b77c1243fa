/**
 * Writes the files that are made from others. `npm run gen` writes them; with `--check` nothing is written, and the exit
 * code is 1 when one of them is not what its source gives now. Words choose: `node scripts/generate.ts schema docs`.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sinkConnectors, sourceConnectors } from '../connectors/index.ts';
import { editorSchema } from '../core/config/json-schema.ts';
import { pipelineSchema } from '../etl/definition/schema.ts';
import { configReference } from '../server/config/reference.ts';
import { buildFrameHelper, frameHelperFile, frameHelperModule } from './build-frame-helper.ts';
import { buildModules } from './build-modules.ts';
import { digestOfInputs, isNoted, note } from './compiled.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The JSON schema of pipeline files, for editors. */
function pipelineJsonSchema(): string {
  const schemas = (connectors: Map<string, { config: import('zod').ZodType; description: string }>) =>
    new Map([...connectors].map(([type, each]) => [type, each.config.describe(each.description)]));
  const schema = pipelineSchema({ sinks: schemas(sinkConnectors()), sources: schemas(sourceConnectors()) });
  return `${JSON.stringify(editorSchema(schema, 'A Millstream pipeline'), null, 2)}\n`;
}

/** What there is to make; each gives the contents by absolute path. */
const GENERATORS: Record<string, () => Promise<Map<string, Uint8Array>>> = {
  schema: async () => new Map([[resolve(ROOT, 'pipelines/pipeline.schema.json'), Buffer.from(pipelineJsonSchema())]]),
  docs: async () => new Map([[resolve(ROOT, 'docs/reference/config.md'), Buffer.from(configReference())]]),
  helper: async () => new Map([[frameHelperFile, Buffer.from(frameHelperModule(await buildFrameHelper()))]]),
  modules: buildModules,
};

const check = process.argv.includes('--check');
const names = process.argv.slice(2).filter(word => !word.startsWith('-'));
const unknown = names.filter(name => !(name in GENERATORS));
if (unknown.length > 0)
  throw new Error(`there is no ${unknown.join(', ')}; there are ${Object.keys(GENERATORS).join(', ')}`);

/** Those that compile, which takes long. */
const COMPILED = ['helper', 'modules'];
const digest = await digestOfInputs();
const isCompiled = check && (await isNoted(digest));

const stale: string[] = [];
for (const [name, generate] of Object.entries(GENERATORS)) {
  if (names.length > 0 && !names.includes(name)) continue;
  if (isCompiled && COMPILED.includes(name)) continue;
  for (const [path, bytes] of await generate()) {
    const committed = await readFile(path).catch(() => null);
    if (committed?.equals(bytes)) continue;
    stale.push(relative(ROOT, path));
    if (check) continue;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
  }
}
if (stale.length === 0 && names.length === 0) await note(digest);
if (stale.length === 0) console.log('every generated file is up to date');
else console.log(stale.map(path => `${check ? 'stale' : 'written'}  ${path}`).join('\n'));
if (check && stale.length > 0) {
  console.log('`npm run gen` writes them');
  process.exitCode = 1;
}
