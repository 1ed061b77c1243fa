import { coreOfComponent, isComponent, worldOf } from '../abi/component-binary.ts';
import { STATE_INTERFACE, TIMERS_INTERFACE } from '../abi/component-state.ts';
import { type Detected, detectAbi } from '../abi/detect.ts';
import { hasTimers, isStateful } from '../abi/state-imports.ts';
import { type ModuleShape, readShape } from './module-shape.ts';

export interface Inspected extends ModuleShape, Detected {
  /** It keeps state. */
  stateful: boolean;
  /** It sets timers. */
  timers: boolean;
}

/** Checks a module that is to be deployed, without running it. Throws kind `invalid`, code MODULE_REFUSED. */
export function inspect(bytes: Uint8Array): Inspected {
  if (isComponent(bytes)) {
    const core = readShape(coreOfComponent(bytes));
    return { ...core, abi: 'millstream-component', form: worldOf(core), ...componentNeeds(core) };
  }
  const shape = readShape(bytes);
  const detected = detectAbi(shape);
  if (detected.abi === 'millstream-component') return { ...shape, ...detected, ...componentNeeds(shape) };
  const imported = detected.abi === 'millstream-core' ? shape.imports.map(({ name }) => name) : [];
  // A Fluvio aggregate keeps its accumulator.
  const stateful = isStateful(imported) || detected.form === 'aggregate';
  return { ...shape, ...detected, stateful, timers: hasTimers(imported) };
}

/** What a component asks of its host, by the interfaces that it imports. */
function componentNeeds({ imports }: ModuleShape): Pick<Inspected, 'stateful' | 'timers'> {
  const timers = imports.some(({ module }) => module === TIMERS_INTERFACE);
  return { timers, stateful: timers || imports.some(({ module }) => module === STATE_INTERFACE) };
}

/** The core module that workers compile. */
export function coreOf(bytes: Uint8Array): Uint8Array {
  return isComponent(bytes) ? coreOfComponent(bytes) : bytes;
}
