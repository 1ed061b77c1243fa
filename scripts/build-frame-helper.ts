/** Builds the sandbox's frame helper from its AssemblyScript source. Run alone, it writes the committed file. */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { main } from 'assemblyscript/asc';

const folder = new URL('../etl/sandbox/frame-helper/', import.meta.url);
export const frameHelperFile = fileURLToPath(new URL('frame-helper-wasm.ts', folder));

/** The module's bytes; the same on every machine. */
export async function buildFrameHelper(): Promise<Uint8Array> {
  const source = await readFile(new URL('assembly/index.ts', folder), 'utf8');
  let binary: Uint8Array | null = null;
  const flags = ['-O3', '--converge', '--noAssert', '--runtime', 'stub', '--use', 'abort=', '--outFile', 'out.wasm'];
  let complaints = '';
  const { error } = await main(['index.ts', ...flags], {
    readFile: name => (name === 'index.ts' ? source : null),
    writeFile: (name, contents) => {
      if (name === 'out.wasm' && typeof contents !== 'string') binary = contents;
    },
    listFiles: () => [],
    stderr: { write: text => (complaints += String(text)) },
  });
  if (error || !binary) throw new Error(`the frame helper does not compile:\n${complaints}`, { cause: error });
  return binary;
}

/** What `frameHelperFile` holds: base64 in a .ts file, so that it is there wherever the compiled sources are. */
export function frameHelperModule(wasm: Uint8Array): string {
  const lines = Buffer.from(wasm)
    .toString('base64')
    .match(/.{1,110}/g);
  return [
    '// Generated from assembly/index.ts by scripts/build-frame-helper.ts.',
    'export const FRAME_HELPER_WASM = [',
    ...(lines ?? []).map(line => `  '${line}',`),
    "].join('');",
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(frameHelperFile, frameHelperModule(await buildFrameHelper()));
}
