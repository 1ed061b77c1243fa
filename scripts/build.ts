/**
 * `npm run build`: the sources as JavaScript in `dist/`, with the files that they read beside them at run time: the page,
 * the SDKs' sources and the package's own modules. `bin/millstream.js` runs `dist/` when it is there.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DIST = join(ROOT, 'dist');

rmSync(DIST, { recursive: true, force: true });
const { status } = spawnSync('tsc', ['-p', 'tsconfig.build.json'], { cwd: ROOT, stdio: 'inherit' });
if (status !== 0) process.exit(1);
for (const file of ['server/api/http/page.html', 'etl/abi/transform.wit']) cpSync(join(ROOT, file), join(DIST, file));
// What modules are compiled from: the compilers of the SDKs are in `dist/` already, as JavaScript.
for (const name of [
  'assemblyscript/assembly',
  'assemblyscript/template',
  'javascript/guest',
  'javascript/template',
  'rust',
]) {
  cpSync(join(ROOT, 'sdk', name), join(DIST, 'sdk', name), {
    recursive: true,
    filter: path => basename(path) !== 'target',
  });
}
for (const entry of readdirSync(join(ROOT, 'modules'), { withFileTypes: true })) {
  if (!entry.isDirectory()) continue;
  cpSync(join(ROOT, 'modules', entry.name), join(DIST, 'modules', entry.name), {
    recursive: true,
    // What runs, not what it is made from.
    filter: path => basename(path) !== 'assembly',
  });
}
