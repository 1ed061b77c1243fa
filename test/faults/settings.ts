/** How long and with which seed a fault suite runs, and where its figures go. `npm run soak` sets all three. */
import { appendFileSync } from 'node:fs';

/** `SOAK_COUNT` or what CI runs. */
export const countOr = (inCi: number): number => Number(process.env['SOAK_COUNT'] ?? inCi);

/** `SEED` or a new one; printed, because it replays the run's random choices. */
export function seedFor(suite: string): number {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`${suite}: SEED=${seed}`);
  return seed;
}

/** Prints the figures of a run, and appends them to the file that `npm run soak` names. */
export function report(suite: string, figures: Record<string, unknown>): void {
  const line = JSON.stringify({ suite, ...figures });
  console.log(line);
  const file = process.env['SOAK_RESULT'];
  if (file !== undefined) appendFileSync(file, `${line}\n`);
}
