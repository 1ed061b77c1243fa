import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MillstreamError } from '../../core/base/errors.ts';

/*
 * The languages that a module can be written in. Their compilers are packages and programs of those who write modules:
 * nothing of them is loaded before a module is built.
 */

export type LanguageName = 'assemblyscript' | 'javascript' | 'rust';

export interface Language {
  name: LanguageName;
  /** What makes a folder a module in this language. */
  sources: readonly string[];
  /** Folder with the SDK, and in it `template/`. */
  sdk: string;
  /** `debug`: names and assertions for stack traces, where the language has them. Throws kind `invalid`, code
   * BUILD_FAILED with what the compiler said, or COMPILER_MISSING with how to get it. */
  compile(folder: string, options: { debug: boolean }): Promise<Uint8Array>;
}

const sdk = (name: string): string => fileURLToPath(new URL(`../../sdk/${name}`, import.meta.url));

export const LANGUAGES: readonly Language[] = [
  {
    name: 'assemblyscript',
    sources: ['assembly/index.ts'],
    sdk: sdk('assemblyscript'),
    async compile(folder, options) {
      const { compileModule } = await load('assemblyscript', () => import('../../sdk/assemblyscript/compile.ts'));
      return said(compileModule(folder, options));
    },
  },
  {
    name: 'javascript',
    sources: ['src/index.js', 'src/index.ts'],
    sdk: sdk('javascript'),
    async compile(folder) {
      const { compileModule } = await load('@bytecodealliance/componentize-js', async () => {
        await import('@bytecodealliance/componentize-js');
        return import('../../sdk/javascript/compile.ts');
      });
      return said(compileModule(folder));
    },
  },
  { name: 'rust', sources: ['Cargo.toml'], sdk: sdk('rust'), compile: compileRust },
];

/** The language of the module in this folder; null: it has no sources. */
export function languageOf(folder: string): Language | null {
  return LANGUAGES.find(({ sources }) => sources.some(source => existsSync(join(folder, source)))) ?? null;
}

async function load<T>(packageName: string, from: () => Promise<T>): Promise<T> {
  try {
    return await from();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    const more = packageName.includes('componentize') ? ' @bytecodealliance/preview2-shim' : '';
    throw new MillstreamError('invalid', 'COMPILER_MISSING', `the package ${packageName} is not installed`, {
      help: `npm install --save-dev ${packageName}${more}`,
      cause: error,
    });
  }
}

async function said(compiled: Promise<Uint8Array>): Promise<Uint8Array> {
  try {
    return await compiled;
  } catch (error) {
    throw failed(error instanceof Error ? error.message : String(error), error);
  }
}

const failed = (text: string, cause?: unknown): MillstreamError =>
  new MillstreamError('invalid', 'BUILD_FAILED', `the module does not compile\n${text.trimEnd()}`, { cause });

async function compileRust(folder: string): Promise<Uint8Array> {
  const target = 'wasm32-unknown-unknown';
  const { code, output } = await run('cargo', ['build', '--release', '--target', target], folder);
  if (code === null) {
    throw new MillstreamError('invalid', 'COMPILER_MISSING', 'there is no `cargo` here', {
      help: `Rust comes from rustup; then \`rustup target add ${target}\`.`,
    });
  }
  if (code !== 0) throw failed(output);
  const name = /^\s*name\s*=\s*"([^"]+)"/m.exec(readFileSync(join(folder, 'Cargo.toml'), 'utf8'))?.[1] ?? '';
  return readFileSync(join(folder, 'target', target, 'release', `${name.replaceAll('-', '_')}.wasm`));
}

/** `code` is null when there is no such program. */
function run(command: string, args: string[], cwd: string): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const take = (chunk: Buffer): void => {
      output += chunk.toString();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', error =>
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? resolve({ code: null, output }) : reject(error),
    );
    child.on('close', code => resolve({ code: code ?? 1, output }));
  });
}
