/** Who asks for syncs, by the stack of the call: a mutant is a product in which one of these places syncs nothing. */

/** On the way from the place that wants a sync to the disk. */
const PLUMBING = /\/core\/log\/sync-domain\.ts|\/test\/|syncFile|Segment\.using|node:/;
/** Write a file for others: these are told apart by who calls them. */
const HELPERS = /^(replaceFile|saveEntries|SegmentIndexes\.save|Segment\.saveIndexes)$/;
const FRAME = /at (?:async )?(?:([^\s(]+) (?:\[as [^\]]+\] )?\()?(?:file:\/\/)?([^()\s]+):(\d+):\d+\)?$/;

interface Frame {
  name: string;
  file: string;
  line: number;
}

/** By stack: the same few come again and again. */
const known = new Map<string, string>();

/** `file function:line`, with the caller where the function is a helper. Called on the stack of the sync. */
export function siteOfSync(): string {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 30;
  const { stack = '' } = new Error('where');
  Error.stackTraceLimit = stackTraceLimit;
  let site = known.get(stack);
  if (site === undefined) known.set(stack, (site = siteIn(stack)));
  return site;
}

function siteIn(stack: string): string {
  const frames = stack
    .split('\n')
    .slice(1)
    .filter(line => !PLUMBING.test(line))
    .flatMap(frameOf)
    .map((frame, i, all) => ({
      ...frame,
      name:
        frame.name || (all.slice(i + 1).find(({ name, file }) => name !== '' && file === frame.file)?.name ?? 'lambda'),
    }));
  const site: string[] = [];
  for (const { name, file, line } of frames) {
    if (site.length === 0) site.push(`${file} ${name}:${line}`);
    else if (!site.at(-1)?.includes(` ${name}:`)) site.push(name);
    if (!HELPERS.test(name)) break;
  }
  return site.join(' < ');
}

function frameOf(text: string): Frame[] {
  const match = FRAME.exec(text.trim());
  const file = match?.[2];
  if (!file || !/\/(core|connectors|etl|server)\//.test(file)) return [];
  const name = match[1] ?? '';
  if (name.includes('<anonymous>') || name.startsWith('Promise.')) return [];
  return [{ name, file: file.replace(/^.*?\/((core|connectors|etl|server)\/)/, '$1'), line: Number(match[3]) }];
}
