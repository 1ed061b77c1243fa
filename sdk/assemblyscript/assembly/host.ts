import { Bytes } from './bytes';

/*
 * The three functions that the host gives every module (DESIGN 6), and what the compiler calls on `throw` and a
 * failed assertion. Nothing else of the outside world can be reached from a module.
 */

// @ts-ignore: decorator
@external('millstream', 'log')
declare function hostLog(level: i32, ptr: usize, len: i32): void;
// @ts-ignore: decorator
@external('millstream', 'progress')
export declare function hostProgress(index: i32): void;
// @ts-ignore: decorator
@external('millstream', 'fail')
declare function hostFail(index: i32, codePtr: usize, codeLen: i32, textPtr: usize, textLen: i32): void;

export const DEBUG: i32 = 0;
export const INFO: i32 = 1;
export const WARN: i32 = 2;
export const ERROR: i32 = 3;

/** One line to the module's log; the host cuts it at 1 KiB and passes on 100 lines a second. */
export function log(text: string, level: i32 = INFO): void {
  const bytes = Bytes.of(text);
  hostLog(level, bytes.ptr, bytes.length);
}

export function failAt(index: i32, code: string, text: string): void {
  const codeBytes = Bytes.of(code);
  const textBytes = Bytes.of(text);
  hostFail(index, codeBytes.ptr, codeBytes.length, textBytes.ptr, textBytes.length);
}

let current: i32 = -1;

/** Which record is being transformed; -1 while the module is being configured. */
export function setCurrent(index: i32): void {
  current = index;
}

/** `throw` ends here: the reason goes to the host, then the instance traps and is replaced. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const where = file === null ? '' : ' (' + file + ':' + line.toString() + ':' + column.toString() + ')';
  failAt(current, 'MODULE_THREW', (message === null ? 'the module stopped' : message) + where);
  unreachable();
}
