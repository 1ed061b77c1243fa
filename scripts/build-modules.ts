/** Compiles every module under `modules/` that is written in AssemblyScript. `npm run check` compares with what is committed. */
import { existsSync } from 'node:fs';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'smol-toml';
import { compileModule } from '../sdk/assemblyscript/compile.ts';

const MODULES = fileURLToPath(new URL('../modules', import.meta.url));

/** By path of the committed .wasm (absolute). The same sources and compiler give the same bytes on every machine. */
export async function buildModules(): Promise<Map<string, Uint8Array>> {
  const built = new Map<string, Uint8Array>();
  const entries = await readdir(MODULES, { withFileTypes: true });
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (!entry.isDirectory()) continue;
    const folder = join(MODULES, entry.name);
    if (!existsSync(join(folder, 'assembly/index.ts'))) continue;
    const manifest = parse(await readFile(join(folder, 'module.toml'), 'utf8'));
    if (typeof manifest['file'] !== 'string') throw new Error(`${folder}/module.toml has no \`file\``);
    built.set(join(folder, manifest['file']), await compileModule(folder));
  }
  return built;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, bytes] of await buildModules()) {
    await writeFile(path, bytes);
    console.log(`${relative(process.cwd(), path)}  ${(bytes.length / 1024).toFixed(1)} KiB`);
  }
}
