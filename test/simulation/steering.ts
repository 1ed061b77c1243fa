import type { Random } from '../../core/base/random.ts';
import type { DiskEvent } from '../core/log/fault-disk.ts';

/** Moments at which files change hands: rare ones get as many cuts as those that happen all the time. */
const MOMENTS: [event: DiskEvent, path: RegExp][] = [
  ['name', /\.swap$/],
  ['name', /\.swap$/],
  ['name', /\.swap$/],
  ['name', /\.swap$/],
  ['name', /\.swap$/],
  ['name', /\.cleaned$/],
  ['name', /\.log$/],
  ['name', /-checkpoint$/],
  ['name', /log-start-offset-checkpoint$/],
  ['name', /\.snapshot$/],
  ['name', /catalogue\.json$/],
  ['name', /partition\.metadata$/],
  ['name', /-delete$/],
  ['name', /cleanshutdown$/],
  ['sync', /\.(index|timeindex)$/],
  ['sync', /\.txnindex$/],
  ['sync', /\/[^./]+$/],
  ['truncate', /\.log$/],
];

/** One of them. */
export function anyMoment(random: Random): (event: DiskEvent, path: string) => boolean {
  const [wanted, path] = MOMENTS[Math.floor(random.float() * MOMENTS.length)] ?? ['name', /./];
  return (event, name) => event === wanted && path.test(name);
}
