/**
 * Two guests in JavaScript for `step.ts`: what the engine inside a component costs by itself, and with the work that
 * `pii_scrubber` does (an e-mail masked in JSON). Compiled anew each time: a component is 12 MB.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileModule } from '../sdk/javascript/compile.ts';

const SOURCES = {
  'javascript-identity': 'export const transform = record => record;',
  'javascript-mask': `export function transform(record) {
    const order = record.json();
    order.customer.email = '***';
    return record.with({ value: order });
  }`,
} as const;

/** Calls with the path of each guest, which is gone afterwards. */
export async function withJavaScriptGuests(use: (file: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'millstream-bench-'));
  try {
    for (const [name, source] of Object.entries(SOURCES)) {
      await mkdir(join(folder, name, 'src'), { recursive: true });
      await writeFile(join(folder, name, 'src/index.js'), source);
      const file = join(folder, `${name}.wasm`);
      await writeFile(file, await compileModule(join(folder, name)));
      await use(file);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}
