/** The thread of kill-points.ts: looks at the trail without a pause, and kills at the point that was asked for. */
import { openSync, readSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { APPENDS, APPENDS_BEGUN, COMMITS, COMMITS_BEGUN, FIELDS, PHASE, RECOVERING, SERVING } from './layout.ts';

export interface KillOrder {
  pid: number;
  trail: string;
  want: 'append' | 'commit' | 'recovery';
  /** How long after the point's beginning. */
  delayMs: number;
  /** After so long it is killed wherever it is. */
  patienceMs: number;
}

const { pid, trail, want, delayMs, patienceMs } = workerData as KillOrder;
const file = openSync(trail, 'r');
const fields = new Int32Array(FIELDS);
const look = (): void => {
  readSync(file, new Uint8Array(fields.buffer), 0, fields.byteLength, 0);
};

look();
const begun = want === 'commit' ? COMMITS_BEGUN : APPENDS_BEGUN;
const open = want === 'commit' ? COMMITS : APPENDS;
const before = fields[begun];
const isThere = (): boolean =>
  want === 'recovery'
    ? fields[PHASE] === RECOVERING || fields[PHASE] === SERVING
    : fields[begun] !== before && (fields[open] ?? 0) > 0;
const end = performance.now() + patienceMs;
for (look(); !isThere() && performance.now() < end; look());
for (const at = performance.now() + delayMs; performance.now() < at; );
try {
  process.kill(pid, 'SIGKILL');
} catch {
  // It ended by itself; the test will see that.
}
