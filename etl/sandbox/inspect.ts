import { coreOfComponent, isComponent } from '../abi/component-binary.ts';
import { type Detected, detectAbi } from '../abi/detect.ts';
import { type ModuleShape, readShape } from './module-shape.ts';

export interface Inspected extends ModuleShape, Detected {}

/** Checks a module that is to be deployed, without running it. Throws kind `invalid`, code MODULE_REFUSED. */
export function inspect(bytes: Uint8Array): Inspected {
  if (isComponent(bytes)) return { ...readShape(coreOfComponent(bytes)), abi: 'millstream-component', form: null };
  const shape = readShape(bytes);
  return { ...shape, ...detectAbi(shape) };
}

/** The core module that workers compile. */
export function coreOf(bytes: Uint8Array): Uint8Array {
  return isComponent(bytes) ? coreOfComponent(bytes) : bytes;
}
