/**
 * What the killed process was doing, in a small file that outlives it: six int32, little endian, written anew with each
 * change (a write to the page cache survives kill -9).
 */
export const PHASE = 0;
/** Files of ordinary topics with records that no completed sync covers. */
export const APPENDS = 1;
/** The same of the internal topics: transactions and positions that are being committed. */
export const COMMITS = 2;
/** Files of sinks with lines that no completed sync covers. */
export const SINK_WRITES = 3;
/** How often the first two have risen so far. */
export const APPENDS_BEGUN = 4;
export const COMMITS_BEGUN = 5;
export const FIELDS = 6;

/** Values of PHASE: not yet at its data, reading it back, listening. */
export const STARTING = 0;
export const RECOVERING = 1;
export const SERVING = 2;

export const TRAIL_VARIABLE = 'KILL_TRAIL';
