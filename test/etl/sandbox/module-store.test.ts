import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseToml } from '../../../core/config/toml.ts';
import { compareVersions, ModuleStore } from '../../../etl/sandbox/module-store.ts';
import { assemble, guestText } from './guests.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'module-store-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const wasm = assemble(guestText());
const other = assemble(guestText({ capabilities: 3 }));

function write(path: string, toml: string, files: Record<string, Uint8Array> = {}): void {
  const target = join(folder, path);
  mkdirSync(target, { recursive: true });
  writeFileSync(join(target, 'module.toml'), toml);
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(target, name), bytes);
}

const load = (...directories: string[]): ModuleStore =>
  ModuleStore.load({
    directories: directories.map(each => join(folder, each)),
    parseToml: (text, file) => parseToml(text, file).document?.value,
  });

test('a module is read from its folder, with its defaults', () => {
  write('a/scrub', 'name = "scrub"\nversion = "1.2.0"', { 'scrub.wasm': wasm });
  expect(load('a').list()).toEqual([
    {
      name: 'scrub',
      version: '1.2.0',
      sha256: createHash('sha256').update(wasm).digest('hex'),
      abi: 'millstream-core',
      form: null,
      bytes: Buffer.from(wasm),
      description: null,
      redacts: false,
      state: null,
    },
  ]);
});

test('module.toml names the file, the description, what is redacted and the schema of the config', () => {
  const toml =
    'name = "scrub"\nversion = "1.0.0"\nfile = "x.wasm"\ndescription = "D"\nredacts = true\n[config_schema]\ntype = "object"';
  write('a/any', toml, { 'x.wasm': wasm });
  expect(load('a').get('scrub')).toMatchObject({ description: 'D', redacts: true, configSchema: { type: 'object' } });
});

test('of the same name and version the later directory wins, other versions stay', () => {
  write('a/scrub', 'name = "scrub"\nversion = "1.0.0"', { 'scrub.wasm': wasm });
  write('b/scrub', 'name = "scrub"\nversion = "1.0.0"', { 'scrub.wasm': other });
  write('b/scrub-2', 'name = "scrub"\nversion = "2.0.0"', { 'scrub.wasm': wasm });
  const store = load('a', 'b', 'missing');
  expect(store.list().map(module => module.version)).toEqual(['2.0.0', '1.0.0']);
  expect(Buffer.compare(store.get('scrub', '1.0.0')?.bytes as Uint8Array, other)).toBe(0);
});

test('the newest that fits is found, by a version or its beginning, or by the first digits of the sha256', () => {
  const store = new ModuleStore();
  for (const version of ['1.2.9', '1.2.10', '1.10.0', '2.0.0-rc.1'])
    store.add(version === '1.2.9' ? other : wasm, { name: 'scrub', version });
  expect(store.get('scrub')?.version).toBe('2.0.0-rc.1');
  expect(store.get('scrub', '1')?.version).toBe('1.10.0');
  expect(store.get('scrub', '1.2')?.version).toBe('1.2.10');
  expect(store.get('scrub', '1.2.1')).toBeNull();
  const digits = createHash('sha256').update(other).digest('hex').slice(0, 8);
  expect(store.get('scrub', null, digits)?.version).toBe('1.2.9');
  expect(store.get('scrub', null, '00000000')).toBeNull();
  expect(store.get('unknown')).toBeNull();
});

test('versions are ordered as Semantic Versioning does', () => {
  const ordered = [
    '1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-alpha.beta',
    '1.0.0-beta.2',
    '1.0.0-beta.11',
    '1.0.0-rc.1',
    '1.0.0',
    '1.2.0',
    '1.10.0',
  ];
  expect(ordered.toReversed().toSorted(compareVersions)).toEqual(ordered);
});

test.each([
  ['no name', 'version = "1.0.0"', /module.toml: name is missing/],
  ['a bad name', 'name = "Sc rub"', /"Sc rub" is no module name/],
  ['a bad version', 'name = "scrub"\nversion = "latest"', /"latest" is no version/],
  ['a number for a name', 'name = 7', /name must be a string/],
  ['a file elsewhere', 'name = "scrub"\nfile = "../x.wasm"', /must lie beside module.toml/],
  ['a file that is not there', 'name = "scrub"\nfile = "y.wasm"', /y.wasm: the file does not exist/],
])('%s in module.toml is an error that names the file', (_what, toml, says) => {
  write('a/scrub', toml, { 'scrub.wasm': wasm });
  expect(() => load('a')).toThrow(says);
});

test('a module that inspection refuses is named', () => {
  write('a/scrub', 'name = "scrub"', { 'scrub.wasm': Buffer.from('nothing') });
  expect(() => load('a')).toThrow(/scrub.wasm: the module is refused: it begins with the bytes 6e6f7468/);
});

test('folders without module.toml, and files, are passed over', () => {
  mkdirSync(join(folder, 'a/empty'), { recursive: true });
  writeFileSync(join(folder, 'a/readme.md'), '');
  expect(load('a').list()).toEqual([]);
});

test('a single file is a module too, under its path; it is read once and found by its digest', () => {
  write('project/wasm', '', { 'mask.wasm': wasm, 'junk.wasm': Buffer.from('junk') });
  const store = new ModuleStore(join(folder, 'project'));
  const sha256 = createHash('sha256').update(wasm).digest('hex');
  const found = store.get('wasm/mask.wasm');
  expect(found).toMatchObject({ name: 'wasm/mask.wasm', version: '0.0.0', sha256, abi: 'millstream-core' });
  expect(store.get('wasm/mask.wasm', null, sha256.slice(0, 8))).toBe(found);
  expect(store.get('wasm/mask.wasm', null, '00000000')).toBeNull();
  expect(store.get('wasm/other.wasm')).toBeNull();
  expect(store.get('wasm')).toBeNull();
  expect(() => store.get('wasm/junk.wasm')).toThrow(/wasm\/junk\.wasm: the module is refused/);
  expect(store.list()).toEqual([]);
});
