/**
 * `npm run build`: the sources as JavaScript in `dist/`, with the files that they read beside them at run time: the page
 * and the package's own modules. `bin/millstream.js` runs `dist/` when it is there.
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
cpSync(join(ROOT, 'server/api/http/page.html'), join(DIST, 'server/api/http/page.html'));
for (const entry of readdirSync(join(ROOT, 'modules'), { withFileTypes: true })) {
  if (!entry.isDirectory()) continue;
  cpSync(join(ROOT, 'modules', entry.name), join(DIST, 'modules', entry.name), {
    recursive: true,
    // What runs, not what it is made from.
    filter: path => basename(path) !== 'assembly',
  });
}
