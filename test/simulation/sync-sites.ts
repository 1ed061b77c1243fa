import { readdirSync, readFileSync } from 'node:fs';

/*
 * Which places of the product ask for syncs: by the stacks of the calls, met while suites run, and by its source. A mutant
 * is a product in which one of these places syncs nothing.
 */
const ROOMS = ['core', 'connectors', 'etl', 'server'];

/** On the way from the place that wants a sync to the disk. */
const PLUMBING = /\/core\/log\/sync-domain\.ts|\/test\/|syncFile|Segment\.using|node:/;
/** Sync for others: each of their callers is a place of its own. */
const HELPERS = new Set([
  'replaceFile',
  'saveEntries',
  'SegmentIndexes.save',
  'Segment.saveIndexes',
  'Segment.seal',
  'Segment.datasync',
  'TransactionIndex.save',
  'Upkeep.saveAborted',
  'removeOriginals',
  'makeDirectoryDurably',
  'LineFile.syncFolder',
  'writeWhole',
  'DeployedModules.write',
]);
const FRAME = /at (?:async )?(?:([^\s(]+) (?:\[as [^\]]+\] )?\()?(?:file:\/\/)?([^()\s]+):(\d+):\d+\)?$/;

interface Frame {
  name: string;
  file: string;
  line: number;
}

/** Sites by stack: the same few come again and again. */
const known = new Map<string, string>();
/** `file:line` of every frame of a sync that was met. */
const met = new Set<string>();

/** Files that one call syncs one after the other, or side by side, are told apart by their kind. */
const KIND = /(?:\.(?:time|txn)?index|\.log|[a-z-]+-checkpoint)(?:\.(?:tmp|cleaned))?$/;

/** `file function:line`, with the callers where the function is a helper, and the kind of file. Called on the stack of the sync. */
export function siteOfSync(path = ''): string {
  const [kind] = KIND.exec(path) ?? [];
  return kind ? `${siteOfStack()} of ${kind.replace('.tmp', '')}` : siteOfStack();
}

function siteOfStack(): string {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 30;
  // The test runner's way to the lines of the sources is slow: once for each stack.
  const prepare = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace');
  Reflect.deleteProperty(Error, 'prepareStackTrace');
  const { stack = '' } = new Error('where');
  if (prepare) Object.defineProperty(Error, 'prepareStackTrace', prepare);
  let site = known.get(stack);
  if (site === undefined) known.set(stack, (site = siteIn(new Error('where').stack ?? '')));
  Error.stackTraceLimit = stackTraceLimit;
  return site;
}

function siteIn(stack: string): string {
  const lines = stack.split('\n').slice(1);
  for (const { file, line } of lines.flatMap(frameOf)) met.add(`${file}:${line}`);
  const frames = lines
    .filter(line => !PLUMBING.test(line))
    .flatMap(frameOf)
    .map((frame, i, all) => ({
      ...frame,
      name:
        frame.name || (all.slice(i + 1).find(({ name, file }) => name !== '' && file === frame.file)?.name ?? 'lambda'),
    }));
  const site: string[] = [];
  let before = '';
  for (const { name, file, line } of frames) {
    if (name === before) continue;
    site.push(site.length === 0 ? `${file} ${name}:${line}` : name);
    if (!HELPERS.has(name)) break;
    before = name;
  }
  return site.join(' < ');
}

function frameOf(text: string): Frame[] {
  const match = FRAME.exec(text.trim());
  const file = /\/((?:core|connectors|etl|server)\/.*)$/.exec(match?.[2] ?? '')?.[1];
  if (!match || !file || match[2]?.includes('/test/')) return [];
  const name = match[1] ?? '';
  if (name.includes('<anonymous>') || name.startsWith('Promise.')) return [];
  return [{ name, file, line: Number(match[3]) }];
}

/** The disk itself, and where its syncs are only declared. */
const DISK = ['core/base/disk.ts', 'core/base/node-disk.ts'];
const CALLS =
  /\b(?:datasync|syncDirectory|syncFile|syncFolder|requestSync|replaceFile|saveAborted|saveSnapshot|removeOriginals|makeDirectoryDurably|f(?:data)?sync(?:Sync)?(?=\())\b/;
const DECLARATION =
  /^(?:import\b|(?:export )?(?:async )?function\b|(?:private |readonly )*(?:async )?\w+\([^()]*\)?[^()]*\{$|\w+\(.*\): Promise<\w+>;$|const \{[^=]*\} =)/;

/** Every line of the product's sources that calls for a sync and was not met on the way to one: `file:line text`. */
export function unmetSyncCalls(): string[] {
  return ROOMS.flatMap(room => readdirSync(room, { recursive: true, encoding: 'utf8' }).map(name => `${room}/${name}`))
    .filter(file => file.endsWith('.ts') && !DISK.includes(file))
    .flatMap(file =>
      readFileSync(file, 'utf8')
        .split('\n')
        .map((text, i) => ({ text: text.trim(), at: `${file}:${i + 1}` })),
    )
    .filter(({ text, at }) => CALLS.test(text.replace(/\/\/.*|\/?\*.*/, '')) && !DECLARATION.test(text) && !met.has(at))
    .map(({ text, at }) => `${at} ${text}`);
}
