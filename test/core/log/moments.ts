import type { DiskEvent, FaultDisk } from './fault-disk.ts';

/* What steered cuts wait for before they cut. */

/** Asked at every sync: true makes it one that does nothing. */
export type Skips = (path: string) => boolean;

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

/** At most some time: not every run comes there. */
export async function until(isDone: () => boolean): Promise<void> {
  for (let left = 600; left > 0 && !isDone(); left--) await turn();
}

export async function untilNamed(disk: FaultDisk, path: RegExp, count: number): Promise<void> {
  let seen = 0;
  disk.onEvent = (event: DiskEvent, name: string) => {
    if (event === 'name' && path.test(name)) seen++;
  };
  await until(() => seen >= count);
}

/** Until that many files of such a (new) name were renamed or removed; whoever did it stays right there. */
export async function heldAt(disk: FaultDisk, method: 'rename' | 'remove', path: RegExp, count: number): Promise<void> {
  let seen = 0;
  const note = async (name: string): Promise<void> => {
    if (path.test(name) && ++seen >= count) await new Promise(() => {});
  };
  const { rename, remove } = { rename: disk.rename.bind(disk), remove: disk.remove.bind(disk) };
  if (method === 'rename') disk.rename = (from, to) => rename(from, to).then(() => note(to));
  else disk.remove = name => remove(name).then(() => note(name));
  await until(() => seen >= count);
}

/** What is in the background ends. */
export async function settle(turns = 300): Promise<void> {
  for (; turns > 0; turns--) await turn();
}
