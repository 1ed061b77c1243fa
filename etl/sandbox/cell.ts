/*
 * The cell that a worker shares with the main thread, so that the watchdog knows what a thread that no longer answers is
 * doing: int32s, written by the worker alone.
 */
export const CELL = {
  /** Number of the task, as the slot counts them. */
  task: 0,
  /** One of PHASE. */
  phase: 1,
  step: 2,
  /** Grows with every call into a guest. */
  call: 3,
  /** Index within the call of the record that the guest works on; -1: it has not said. */
  record: 4,
  /** How many records the call has. */
  count: 5,
  /** How many records the step was given before this call, in this task. */
  first: 6,
  /** In PHASE.alone: which source record of the task the record comes from. */
  origin: 7,
} as const;
export const CELL_BYTES = 32;

export const PHASE = {
  /** The host's own code runs. */
  host: 0,
  /** Compiling, instantiating or configuring a module. */
  init: 1,
  /** A guest works on records. */
  call: 2,
  /** A guest works, in a fresh instance, on the one record that is under suspicion. */
  alone: 3,
} as const;
