import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileModule } from '../../sdk/assemblyscript/compile.ts';
import { Millstream } from '../servers/millstream.ts';
import { ended, eventually, run } from '../servers/process.ts';
import { findTool } from '../servers/tools.ts';
import { runCommand } from './support.ts';

/* Every command and file in the README, against a server that runs this repository's project. */

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');

function blocks(language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(match => match[1] ?? '');
}

/** Lines of the sh blocks, without comments. */
const commands = blocks('sh')
  .flatMap(block => block.split('\n'))
  .map(line => line.replace(/ +#.*$/, ''))
  .filter(line => line !== '');
const [pipeline = '', manifest = ''] = blocks('toml');
const [moduleSource = ''] = blocks('ts');

let server: Millstream;
beforeAll(async () => {
  server = await Millstream.prepare();
  const write = (path: string, text: string | Uint8Array): void => {
    mkdirSync(dirname(join(server.folder, path)), { recursive: true });
    writeFileSync(join(server.folder, path), text);
  };
  for (const folder of ['pipelines', 'modules', 'examples/data']) {
    cpSync(join(root, folder), join(server.folder, folder), { recursive: true });
  }
  // Commands find the server through the project's configuration, as a reader's do.
  write(
    'millstream.toml',
    readFileSync(join(root, 'millstream.toml'), 'utf8')
      .replace('127.0.0.1:9092', server.bootstrap)
      .replace('127.0.0.1:9642', `127.0.0.1:${server.httpPort}`),
  );
  write('pipelines/hello.toml', pipeline);
  write('modules/router/module.toml', manifest);
  write('modules/router/assembly/index.ts', moduleSource);
  write('modules/router/router.wasm', await compileModule(join(server.folder, 'modules/router')));
  await server.restart();
});
afterAll(() => server.stop());

/** A line of the README as it is typed, but for the addresses and for npx, which finds this checkout's own program. */
const typed = (line: string): string =>
  line
    .replaceAll('npx millstream', `'${process.execPath}' '${join(root, 'bin/millstream.js')}'`)
    .replaceAll('127.0.0.1:9092', server.bootstrap)
    .replaceAll('127.0.0.1:9642', `127.0.0.1:${server.httpPort}`);
const shell = (line: string) => run('sh', ['-c', typed(line)], { cwd: server.folder });

describe('the README', () => {
  it('has commands that work, in their order', { timeout: 60_000 }, async () => {
    const done: (readonly [string, string])[] = [];
    for (const line of commands) {
      const [word = ''] = line.split(' ');
      // `npm start` is what runs here; the demo's own test looks at it closely.
      if (word === 'npm' || line.includes('millstream tap')) continue;
      if (word === 'kcat' && findTool('kcat') === null) continue;
      const { code, stdout, stderr } = await shell(line);
      expect([line, code, code === 0 ? '' : stderr]).toEqual([line, 0, '']);
      done.push([line, stdout.toString()] as const);
    }
    const said = (start: string): string => done.find(([line]) => line.startsWith(start))?.[1] ?? '';
    expect(said('npx millstream topic list')).toContain('birdstrikes.in');
    expect(said('npx millstream consume greetings')).toBe('{"hello":"world"}\n');
    expect(said('curl')).toContain(String.raw`"value":"{\"hello\":\"world\"}"`);
    if (findTool('kcat')) expect(said('kcat')).toBe('{"hello":"world"}\n');
    expect(said('npx millstream pipeline lint')).toContain('pipelines/hello.toml: ok');
    expect(said('npx millstream pipeline test')).toContain('pipelines/birdstrikes.toml: 6 tests passed');
    expect(said('npx millstream pipeline list')).toMatch(/^hello +running +greetings +1 /m);
    const greetings = join(server.folder, 'out/hello.ndjson');
    await eventually(
      'the greeting in the file',
      () => (existsSync(greetings) && readFileSync(greetings).length > 0) || undefined,
    );
    expect(readFileSync(greetings, 'utf8')).toBe('{"hello":"world"}\n');
  });

  it('shows a tap that shows what flows, until ctrl-c', async () => {
    const line = commands.find(each => each.includes('millstream tap')) ?? '';
    const child = spawn('sh', ['-c', `exec ${typed(line)}`], { cwd: server.folder });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await eventually('the tap', () => said.includes('tapping birdstrikes') || undefined);
    await eventually('a record in the tap', async () => {
      await shell(
        'npx millstream consume birdstrikes.in --from earliest --limit 1 | npx millstream produce birdstrikes.in',
      );
      return said.includes('  after   ') || undefined;
    });
    child.kill('SIGINT');
    expect(await ended(child)).toBe(0);
  });

  it('has a module that compiles and is listed', async () => {
    const { code, stdout } = await shell('npx millstream module list');
    expect([code, stdout.toString()]).toEqual([0, expect.stringMatching(/^router +1\.0\.0 /m)]);
  });

  it('names every command', async () => {
    const { out } = await runCommand(['help'], { cwd: root });
    const names = [...out.matchAll(/^ {2}(\S+(?: \S+)?) {2,}/gm)].map(match => match[1] ?? '');
    expect(names.length).toBeGreaterThan(10);
    expect(names.filter(name => !readme.includes(`\`${name}\``))).toEqual([]);
  });

  it('links to files that are there', () => {
    const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(match => match[1] ?? '');
    expect(links.length).toBeGreaterThan(5);
    expect(links.filter(link => !existsSync(join(root, link)))).toEqual([]);
  });
});
