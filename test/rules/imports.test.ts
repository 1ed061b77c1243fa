import { expect, test } from 'vitest';
import { blank, importsOf, isAssembly, readSource, roomOf, sourceFiles } from './sources.ts';

/*
 * The import table of DESIGN 4. Whoever needs an exception writes it here, with the reason, where everybody sees it.
 */

/** Inside core a folder imports only those left of it: base <- config, protocol, log <- broker, client <- engine. */
const CORE: Record<string, readonly string[]> = {
  'core/base': [],
  'core/config': ['core/base'],
  'core/protocol': ['core/base'],
  'core/log': ['core/base'],
  'core/broker': ['core/base', 'core/config', 'core/protocol', 'core/log'],
  'core/client': ['core/base', 'core/config', 'core/protocol', 'core/log'],
  'core/engine': ['core/base', 'core/config', 'core/protocol', 'core/log', 'core/broker', 'core/client'],
};

/** The other rooms; a trailing slash stands for everything below. */
const ROOMS: Record<string, readonly string[]> = {
  'etl/': ['core/base', 'core/config', 'core/engine', 'etl/'],
  'connectors/': ['core/base', 'core/engine'],
  // package.json: the version that is shown; modules: the folder of the package's own modules.
  // sdk: the compilers, loaded when a module is built.
  'server/': ['core/', 'etl/', 'connectors/', 'server/', 'package.json', 'modules', 'sdk/'],
};

const NPM: Record<string, readonly string[]> = {
  'core/': ['@node-rs/crc32', 'lz4-napi', 'snappyjs', 'zod', 'smol-toml', 'toml-eslint-parser'],
  'etl/': ['piscina', 'zod'],
  'connectors/': ['zod'],
  // Loaded when a sink is opened, so that those who do not use it do not pay for it.
  'connectors/bigquery/': ['@google-cloud/bigquery-storage', 'avsc', 'google-auth-library', 'google-gax'],
  'server/': ['fastify', 'prom-client', 'zod'],
  // Is the compiler installed?
  'server/modules/language.ts': ['@bytecodealliance/componentize-js'],
};

/** Parts of Node. In core they are handed in: each file that may use one is named. */
const NODE: Record<string, readonly string[]> = {
  'core/base/random.ts': ['node:crypto'],
  'core/log/compression.ts': ['node:zlib'],
  // A digest, which depends on its input alone.
  'core/log/compaction/key-map.ts': ['node:crypto'],
  // The type of a byte stream; whose it is, is handed in.
  'core/base/network.ts': ['node:stream'],
  'core/client/connection.ts': ['node:stream'],
  // Digests, which depend on their input alone.
  'core/client/scram.ts': ['node:crypto', 'node:util'],
  // Takes paths apart; touches no disk.
  'core/base/make-directory.ts': ['node:path'],
  // Workers are what the sandbox is made of; their default number comes from the cores.
  'etl/sandbox/': ['node:worker_threads', 'node:os'],
  // Modules are read once, at start, before there is anything to lose; the digest is their version.
  // The number of its own thread, from /proc.
  'etl/sandbox/step-back.ts': ['node:fs'],
  'etl/sandbox/module-store.ts': ['node:fs', 'node:path', 'node:crypto'],
  'connectors/file/': ['node:path', 'node:buffer', 'node:crypto'],
  // Is a value text? And the type of a call's stream.
  'connectors/bigquery/': ['node:buffer', 'node:stream'],
  // Lets other work of the loop go first; waits for no time.
  'connectors/runtime/lane-pass.ts': ['node:timers/promises'],
};
const NODE_FREE = [/^core\/base\/node-[a-z-]+\.ts$/, /^server\//];

/** Single imports that the table does not allow: `importer -> target`, and why. */
const EXCEPTIONS: Record<string, string> = {};

const covers = (pattern: string, path: string): boolean =>
  pattern.endsWith('/') ? `${path}/`.startsWith(pattern) : path === pattern;
const listed = (table: Record<string, readonly string[]>, path: string): readonly string[] =>
  Object.entries(table).flatMap(([pattern, names]) => (covers(pattern, path) ? names : []));

function mayImportFile(from: string, to: string): boolean {
  const [room, other] = [roomOf(from), roomOf(to)];
  if (room === other) return true;
  const core = CORE[room];
  if (core) return core.includes(other);
  // A connector knows the runtime and itself; only the list of all connectors knows all of them.
  if (room.startsWith('connectors/') && other.startsWith('connectors/')) return other === 'connectors/runtime';
  if (room === 'connectors' && other.startsWith('connectors/')) return true;
  if (room.startsWith('etl/') && to === 'core/engine/records.ts') return true;
  return listed(ROOMS, `${room}/`).some(pattern => covers(pattern, other) || pattern === to);
}

function mayImportPackage(from: string, specifier: string): boolean {
  if (specifier.startsWith('node:')) {
    return NODE_FREE.some(pattern => pattern.test(from)) || listed(NODE, from).includes(specifier);
  }
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  return listed(NPM, from).includes(name);
}

const files = sourceFiles('core', 'etl', 'connectors', 'server').filter(path => !isAssembly(path));
const imports = files.flatMap(from => importsOf(from, readSource(from)).map(each => ({ from, ...each })));

test('every import stands in the import table', () => {
  const used = new Set<string>();
  const refused = imports.flatMap(({ from, specifier, target, line }) => {
    if (specifier === null) return [`${from}:${line} imports what nobody can check: the name is not a plain string`];
    const allowed = target ? mayImportFile(from, target) : mayImportPackage(from, specifier);
    const exception = `${from} -> ${target ?? specifier}`;
    if (EXCEPTIONS[exception] !== undefined) used.add(exception);
    return allowed || EXCEPTIONS[exception] !== undefined ? [] : [`${from}:${line} imports ${target ?? specifier}`];
  });
  expect(refused).toEqual([]);
  expect(Object.keys(EXCEPTIONS).filter(each => !used.has(each))).toEqual([]);
});

test('nothing but the server, its tests and the scripts imports the server', () => {
  const others = sourceFiles('core', 'etl', 'connectors', 'sdk', 'modules', 'examples');
  const found = others.flatMap(from =>
    importsOf(from, readSource(from)).flatMap(each => (each.target?.startsWith('server/') ? [from] : [])),
  );
  expect(found).toEqual([]);
});

test('the scanner finds every form of import, and none in comments', () => {
  const sample = [
    "import a, { b } from './a.ts';",
    'import type {',
    '  C,',
    "} from './c.ts';",
    "export * from './d.ts';",
    "import './e.ts';",
    "const f = await import('./f.ts');",
    "let g: import('./g.ts').G;",
    "new Worker(new URL('./h.ts', import.meta.url));",
    'const i = await import(name);',
    "// import './no.ts';",
    "/* export * from './no.ts'; */",
    "const quote = /['\"]/; // it's fine",
    "export { j } from 'pkg/j';",
  ].join('\n');
  const found = importsOf('core/base/x.ts', sample).map(each => `${each.line} ${each.target ?? each.specifier}`);
  expect(found.toSorted((a, b) => Number.parseInt(a) - Number.parseInt(b))).toEqual([
    '1 core/base/a.ts',
    '4 core/base/c.ts',
    '5 core/base/d.ts',
    '6 core/base/e.ts',
    '7 core/base/f.ts',
    '8 core/base/g.ts',
    '9 core/base/h.ts',
    '10 null',
    '14 pkg/j',
  ]);
  expect(blank("f('a // b') / 2; // c", 'comments').trimEnd()).toBe("f('a // b') / 2;");
});

test('the table refuses what it should', () => {
  expect(mayImportFile('core/log/log.ts', 'core/protocol/x.ts')).toBe(false);
  expect(mayImportFile('core/base/x.ts', 'core/log/log.ts')).toBe(false);
  expect(mayImportFile('etl/runner/x.ts', 'core/log/batch.ts')).toBe(false);
  expect(mayImportFile('etl/runner/x.ts', 'core/engine/records.ts')).toBe(true);
  expect(mayImportFile('connectors/file/x.ts', 'connectors/kafka/x.ts')).toBe(false);
  expect(mayImportFile('connectors/file/x.ts', 'core/config/toml.ts')).toBe(false);
  expect(mayImportFile('connectors/index.ts', 'connectors/file/sink.ts')).toBe(true);
  expect(mayImportFile('etl/runner/x.ts', 'connectors/index.ts')).toBe(false);
  expect(mayImportFile('core/engine/x.ts', 'server/compose.ts')).toBe(false);
  expect(mayImportFile('server/compose.ts', 'etl/runner/x.ts')).toBe(true);
  expect(mayImportPackage('core/log/x.ts', 'node:fs')).toBe(false);
  expect(mayImportPackage('core/base/node-disk.ts', 'node:fs')).toBe(true);
  expect(mayImportPackage('etl/sandbox/x.ts', 'kafkajs')).toBe(false);
});
