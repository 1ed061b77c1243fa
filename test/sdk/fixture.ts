import { fileURLToPath } from 'node:url';
import { type CompileOptions, compileModule } from '../../sdk/assemblyscript/compile.ts';

/** The module under fixture/, compiled as modules are; or with assertions, and much sooner. */
export const compileFixture = (options?: CompileOptions): Promise<Uint8Array> =>
  compileModule(fileURLToPath(new URL('./fixture', import.meta.url)), options);
