/*
 * What a module's author imports:
 *
 *   import { Record, Output, json } from "millstream/assembly";
 *   export function transform(r: Record, out: Output): void { out.emit(r); }
 *   export function configure(config: Json): string | null { return null; }   // optional; a reason refuses the config
 *   export const tombstones = true;                                            // optional: null values come here too
 *   export function onTimer(r: Record, out: Output): void { … }                // optional: see timers.ts
 */
import * as json from './json-functions';
import * as scan from './scan';
import * as state from './state';
import * as timers from './timers';
export { allocateLasting } from './arena';
export { copy } from './copy';
export { Bytes } from './bytes';
export { DEBUG, ERROR, INFO, WARN, log } from './host';
export { Json } from './json';
export { Output } from './output';
export { quoteTo, quotedSize } from './escape';
export { Path, Segment } from './path';
export { Record } from './record';
export { sha256, writeHex } from './sha256';
export { json, scan, state, timers };
