import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/*
 * Compiles a module written in JavaScript or TypeScript: the author's `src/index.js` (or `.ts`), the guest side of the SDK
 * and the JavaScript engine become one component of the world `frame-transform`, or of those with state and timers when
 * what the author exports says so. componentize-js runs the top level of the source files once, here; what they have set
 * up then is in the component. Relative imports only: there is no npm in a guest.
 */
const GUEST = fileURLToPath(new URL('./guest', import.meta.url));
const WORLD = fileURLToPath(new URL('../../etl/abi/transform.wit', import.meta.url));
const WITHOUT = ['stdio', 'random', 'clocks', 'http', 'fetch-event'] as const;

const ENTRY = `
export const capabilities = () => sdk.capabilities(author);
export const configure = init => sdk.configure(author, init);
export const onFrame = frame => sdk.onFrame(author, frame);
`;
const WITH_STATE = `
import * as state from './sdk/state.ts';
sdk.keepState({ state });
`;
const WITH_TIMERS = `
import * as state from './sdk/state.ts';
import * as timers from './sdk/timers.ts';
sdk.keepState({ state, timers });
export const onTimers = frame => sdk.onTimers(author, frame);
`;

/** What the component's program begins with, and its world, for an author's file that exports these names. */
function entryOf(index: string, exported: ReadonlySet<string>): { world: string; program: string } {
  const program = `import * as author from './src/${index}';\nimport * as sdk from './sdk/runtime.ts';\n${ENTRY}`;
  if (exported.has('onTimer')) return { world: 'frame-transform-with-timers', program: program + WITH_TIMERS };
  if (exported.has('stateful')) return { world: 'frame-transform-with-state', program: program + WITH_STATE };
  return { world: 'frame-transform', program };
}

/** Compiles `<folder>/src/index.js`. Throws an Error whose message is what the compiler or the source's top level said. */
export async function compileModule(folder: string): Promise<Uint8Array> {
  const [{ componentize }, lexer] = await Promise.all([
    import('@bytecodealliance/componentize-js'),
    import('es-module-lexer'),
  ]);
  const work = await mkdtemp(join(tmpdir(), 'millstream-build-'));
  try {
    await copyAsJavaScript(GUEST, join(work, 'sdk'));
    const files = await copyAsJavaScript(join(folder, 'src'), join(work, 'src'));
    const index = files.find(name => name === 'index.js' || name === 'index.ts');
    if (index === undefined) throw new Error(`there is no src/index.js or src/index.ts in ${folder}`);
    const sourcePath = join(work, 'entry.js');
    const { world, program } = entryOf(index, await exportsOf(join(work, 'src', index), lexer));
    await writeFile(sourcePath, program);
    const witWorld = await readFile(WORLD, 'utf8');
    const options = { sourcePath, witWorld, worldName: world, disableFeatures: [...WITHOUT] };
    return (await componentize(options)).component;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(message.replaceAll(`${work}/src/`, 'src/'), { cause: error });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Names that the file exports. What cannot be parsed is the compiler's to tell. */
async function exportsOf(path: string, lexer: typeof import('es-module-lexer')): Promise<ReadonlySet<string>> {
  await lexer.init;
  try {
    const [, exports] = lexer.parse(await readFile(path, 'utf8'));
    return new Set(exports.map(({ n }) => n));
  } catch {
    return new Set();
  }
}

/** Under their own names; types are blanked out, so that lines and columns stay what they were. Returns the names. */
async function copyAsJavaScript(from: string, to: string): Promise<string[]> {
  const entries = await readdir(from, { withFileTypes: true, recursive: true }).catch(() => []);
  const names: string[] = [];
  for (const entry of entries) {
    if (!entry.isFile() || !/\.[jt]s$/.test(entry.name) || entry.name.endsWith('.d.ts')) continue;
    const path = join(entry.parentPath, entry.name);
    const text = await readFile(path, 'utf8');
    const name = relative(from, path);
    const target = join(to, name);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, path.endsWith('.ts') ? withoutTypes(text) : text);
    names.push(name);
  }
  return names;
}

function withoutTypes(text: string): string {
  const before = process.emitWarning.bind(process);
  // It says that it is experimental; nobody who builds a module can do anything about that.
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(text);
  } finally {
    process.emitWarning = before;
  }
}
