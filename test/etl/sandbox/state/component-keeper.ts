import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { componentize } from '@bytecodealliance/componentize-js';

/* A component in JavaScript that counts words, sets a timer at `timer`, fails at `fail` and tells all that it keeps at `all`. */

const WITHOUT = ['stdio', 'random', 'clocks', 'http', 'fetch-event'] as const;
const SOURCE = `
import { get, put, scan } from 'millstream:transform/state@1.0.0';
import { set } from 'millstream:transform/timers@1.0.0';
const bytes = text => new TextEncoder().encode(text);
const text = bytes => new TextDecoder().decode(bytes);
export const capabilities = () => 0;
export const configure = () => {};
export function onRecord({ value, headers, timestamp }) {
  const word = text(value);
  const n = Number(text(get(bytes(word)) ?? bytes('0'))) + 1;
  put(bytes(word), bytes(String(n)));
  if (word === 'timer') set(timestamp + 1n, bytes('t'));
  if (word === 'fail') throw { code: 'NOT_GOOD', reason: 'it says fail' };
  if (word === 'all') return scan(bytes(''), undefined, 10).map(([key, v]) => ({ headers, value: bytes(text(key) + ':' + text(v)) }));
  return [{ headers, value: bytes(word + '=' + n) }];
}
export const onTimer = (time, key) => [{ headers: [], value: bytes('timer ' + text(key)) }];
`;

export async function componentKeeper(): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), 'millstream-component-'));
  try {
    const sourcePath = join(folder, 'guest.js');
    await writeFile(sourcePath, SOURCE);
    const witWorld = await readFile(new URL('../../../../etl/abi/transform.wit', import.meta.url), 'utf8');
    const worldName = 'record-transform-with-timers';
    const options = { sourcePath, witWorld, worldName, disableFeatures: [...WITHOUT] };
    return (await componentize(options)).component;
  } finally {
    await rm(folder, { recursive: true });
  }
}
