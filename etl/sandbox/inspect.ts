import { detectAbi } from '../abi/detect.ts';
import { type ModuleShape, readShape } from './module-shape.ts';
import type { Abi } from './sandbox.ts';

export interface Inspected extends ModuleShape {
  abi: Abi;
}

/** Checks a module that is to be deployed, without running it. Throws kind `invalid`, code MODULE_REFUSED. */
export function inspect(bytes: Uint8Array): Inspected {
  const shape = readShape(bytes);
  return { ...shape, abi: detectAbi(shape) };
}
