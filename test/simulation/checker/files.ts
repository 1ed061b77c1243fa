import { type Committed, letterOf, positionIn, same, type Seen, text } from './expectations.ts';

/*
 * What the file sink and the drain of dead letters wrote, read from the files and from the committed states, whose
 * layout is told again here:
 *
 *   v1:<topic id>:1.<sequence>|<generation>.<length>.<shared>.<rest>|…    numbers in base 36
 *
 * The state with the highest sequence is the true one, whichever partition has it. Of a path it says up to which rotated
 * sibling (rows.000001.ndjson) all is committed, and how many bytes of what comes next.
 */

/** Files as they are on disk, by their names below the sinks' folder. */
export type SeenFiles = ReadonlyMap<string, Uint8Array>;

interface FileSink {
  group: string;
  topic: string;
  path: (partition: number) => string;
  /** The partition that a line says it is from (undefined: of its file), and what stands in it. */
  read: (line: string) => { partition?: number; said: string };
  /** The same of a record of the topic. */
  say: (record: Committed) => string;
}

/** As they stand in a line. */
interface Row {
  topic: string;
  partition: number;
  offset: number;
  value_base64: string;
}

interface Letter {
  step: string;
  code: string;
  source: { offset: number };
  value_b64: string;
}

const base64 = (found: string): string => Buffer.from(found, 'base64').toString('latin1');

const ROWS: FileSink = {
  group: 'millstream.two.files',
  topic: 'out',
  path: () => 'rows.ndjson',
  read: line => {
    const { topic, partition, offset, value_base64: value } = JSON.parse(line) as Row;
    return { partition, said: `${topic} ${offset} ${base64(value)}` };
  },
  say: record => `out ${record.offset} ${text(record)}`,
};

const LETTERS: FileSink = {
  group: 'millstream.two.dead_letter',
  topic: 'two.dead',
  path: partition => `letters/${partition}.ndjson`,
  read: line => {
    const { step, code, source, value_b64: value } = JSON.parse(line) as Letter;
    return { said: `${step} ${code} ${source.offset} ${base64(value)}` };
  },
  say: letterOf,
};

/** Committed lines, and bytes behind them that no commit covers. */
export interface FileCounts {
  lines: number;
  left: number;
}

/** The committed lines of all files are exactly the records below the positions; `isEnd`: and nothing is behind them. */
export function checkFiles(seen: Seen, files: SeenFiles, isEnd: boolean): FileCounts {
  const counts: FileCounts = { lines: 0, left: 0 };
  for (const sink of [ROWS, LETTERS]) checkSink(seen, sink, files, isEnd, counts);
  return counts;
}

function checkSink(seen: Seen, sink: FileSink, files: SeenFiles, isEnd: boolean, counts: FileCounts): void {
  const partitions = Array.from({ length: seen.partitions }, (_, partition) => partition);
  const marks = newest(partitions.map(partition => seen.position(sink.group, sink.topic, partition).state));
  const found = partitions.map((): string[] => []);
  for (const path of new Set(partitions.map(sink.path))) {
    const { lines, left } = committedIn(path, files, marks.get(path));
    if (isEnd && left > 0) throw new Error(`${path} has ${left} bytes more than are committed`);
    counts.lines += lines.length;
    counts.left += left;
    for (const line of lines) {
      const { partition = partitions.findIndex(each => sink.path(each) === path), said } = sink.read(line);
      found[partition]?.push(said);
    }
  }
  for (const partition of partitions) {
    const history = seen.history(sink.topic, partition);
    const position = positionIn(seen, sink.group, sink.topic, partition);
    const expected = history.committed().filter(record => record.offset < position);
    same(found[partition] ?? [], expected.map(sink.say), history, `the lines of ${sink.group} below ${position}`);
  }
}

interface Mark {
  generation: number;
  length: number;
}

function newest(states: readonly string[]): Map<string, Mark> {
  let best = { sequence: -1, marks: new Map<string, Mark>() };
  for (const state of states) {
    if (state === '') continue;
    const [head = '', ...entries] = state.slice(state.indexOf(':', 3) + 1).split('|');
    const [version, number = ''] = head.split('.');
    if (version !== '1') throw new Error(`a state of a file sink begins with ${head}`);
    const marks = new Map<string, Mark>();
    let before = '';
    for (const entry of entries) {
      const [generation = '', length = '', shared = '', ...rest] = entry.split('.');
      before = before.slice(0, Number.parseInt(shared, 36)) + rest.join('.');
      const mark = { generation: Number.parseInt(generation, 36), length: Number.parseInt(length, 36) };
      marks.set(before.replace(/^files\//, ''), mark);
    }
    const sequence = Number.parseInt(number, 36);
    if (sequence > best.sequence) best = { sequence, marks };
  }
  return best.marks;
}

/** The committed lines of a path, oldest first, and how many bytes come behind them. */
function committedIn(
  path: string,
  files: SeenFiles,
  { generation, length }: Mark = { generation: 0, length: 0 },
): { lines: string[]; left: number } {
  const [stem = '', end = ''] = path.split('.');
  const whole: string[] = [];
  const numbered = (number: number): string => `${stem}.${String(number).padStart(6, '0')}.${end}`;
  const contentOf = (name: string): string | null => {
    const bytes = files.get(name);
    return bytes ? Buffer.from(bytes).toString('latin1') : null;
  };
  for (let number = 1; number <= generation; number++) {
    const content = contentOf(numbered(number));
    if (content === null) throw new Error(`${numbered(number)} is committed and not there`);
    whole.push(content);
  }
  // Rotated already, which no commit tells of.
  const rotated = contentOf(numbered(generation + 1));
  const rest = rotated ?? contentOf(path) ?? '';
  if (rest.length < length) throw new Error(`${path} has ${rest.length} bytes, ${length} are committed`);
  const committed = whole.join('') + rest.slice(0, length);
  if (committed !== '' && !committed.endsWith('\n')) throw new Error(`${path} is committed in the middle of a line`);
  const behind = rotated === null ? 0 : (contentOf(path) ?? '').length;
  return { lines: committed.split('\n').slice(0, -1), left: rest.length - length + behind };
}
