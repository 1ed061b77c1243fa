import path from 'node:path';
import type { Clock, Timer } from '../../core/base/clock.ts';
import type { Disk } from '../../core/base/disk.ts';
import type { SinkPartition } from '../runtime/contract.ts';
import { SinkError } from '../runtime/sink-error.ts';
import { LineFile, recoverFile } from './line-file.ts';
import { encodeMarks, type Mark, type Marks, newestOf } from './marks.ts';
import type { Owners } from './owners.ts';
import { Turns } from './turns.ts';

/*
 * The files of one run of a sink, and how far they are committed.
 *
 * Several partitions may write into one file. So append and commit are one turn, and one partition has it at a time:
 * at most one append of the whole sink is not committed, and it lies at the ends of its files. What is committed is in
 * the state of the last commit, whichever partition made it, and so is every file that an append is about to touch:
 * where the last state does not tell of it as it is, an intent says so before. Whoever takes over cuts all files of the
 * newest state back to their lengths: so that it is there, what a partition commits whose topic may be deleted is
 * repeated on one that lasts, in the same turn.
 */

/** Files that stay open though nothing is being written to them. */
const MOST_OPEN = 64;

export interface Rotation {
  /** A file that is this long is rotated before the next append. */
  bytes: number | null;
  /** A file is rotated this long after this process opened it. */
  ageMs: number | null;
}

export interface LedgerOptions {
  /** `<pipeline>/<sink>`. */
  owner: string;
  owners: Owners;
  /** Paths in the state are relative to it. */
  baseDirectory: string;
  /** Names that folder; left out: there is no other. */
  place?: string | undefined;
  disk: Disk;
  clock: Clock;
  rotation: Rotation;
}

/** How the sink's partition commits. */
type Commits = Pick<SinkPartition, 'intent' | 'lasts' | 'states'>;
type Files = Marks['files'];

interface Entry {
  file: LineFile;
  age: Timer | null;
  isOld: boolean;
}

interface Touched {
  entry: Entry;
  path: string;
  before: Mark;
  after: Mark;
}

export class FileLedger {
  private readonly options: LedgerOptions;
  private readonly turns = new Turns();
  /** In order of use, the longest unused first. */
  private readonly entries = new Map<string, Entry>();
  /** As the last committed state says. */
  private files: Files = new Map();
  /** Of the last state that was made. */
  private sequence = 0;
  /** False when the last state may go with its topic. */
  private isKept = true;
  /** Where it can be kept. */
  private readonly keepers = new Set<Commits>();
  /** Appended and not committed; after an error, what is still to be cut off. */
  private touched: Touched[] = [];
  private begun: Promise<void> | null = null;
  /** What may be touching the files now. */
  private readonly works = new Set<Promise<unknown>>();
  private isOver = false;

  constructor(options: LedgerOptions) {
    this.options = options;
  }

  /** Once for the run, before its first append: cuts off what others left. `states`: those of all partitions. */
  begin(states: Commits['states']): Promise<void> {
    this.begun ??= this.working(() => this.recover(states)).catch((error: unknown) => {
      this.begun = null;
      throw error;
    });
    return this.begun;
  }

  /** Waits for the caller's turn. The function ends it, after the commit, or when nothing was appended. Null when `signal` is aborted. */
  turn(signal?: AbortSignal): Promise<(() => void) | null> {
    return this.turns.next(signal);
  }

  /**
   * In the caller's turn: appends to all files, by absolute path; resolves once the lines are on disk, with the state to
   * commit with them. What was appended before and not `settle`d is taken back first.
   */
  append(lines: ReadonlyMap<string, Uint8Array>, commits: Commits): Promise<string> {
    return this.working(async () => {
      await this.begin(commits.states);
      return this.appendAll(lines, commits);
    });
  }

  /** In the caller's turn: what was appended is committed. */
  settle({ lasts }: Commits): void {
    if (this.touched.length > 0) this.files = this.withTouched();
    this.touched = [];
    this.isKept = lasts;
  }

  /** In the caller's turn, with nothing appended: repeats the last state where it lasts, unless it is there. Where that
   * is not possible now, the next who can does it. */
  keep(): Promise<void> {
    return this.isKept ? Promise.resolve() : this.working(() => this.keepNow());
  }

  /** A partition has been acquired. */
  join(commits: Commits): void {
    if (!commits.lasts) return;
    this.keepers.add(commits);
    if (!this.isKept) void this.keepInTurn(commits);
  }

  leave(commits: Commits): void {
    this.keepers.delete(commits);
  }

  /** In the caller's turn: whether what was appended is committed must be read from the states again. */
  async lose(states: Commits['states']): Promise<void> {
    if (this.isOver) return;
    this.touched = [];
    this.begun = null;
    await this.closeFiles();
    await this.begin(states);
  }

  /** Another run has begun: this one touches nothing any more. */
  async fence(): Promise<void> {
    this.isOver = true;
    await Promise.allSettled(this.works);
    await this.closeFiles();
  }

  async close(): Promise<void> {
    const end = await this.turns.next();
    if (!this.isOver) this.options.owners.end(this.options.owner, this);
    this.isOver = true;
    await this.closeFiles();
    end?.();
  }

  private async recover(states: Commits['states']): Promise<void> {
    const { owner, owners, disk, baseDirectory, place } = this.options;
    this.check();
    await owners.begin(owner, this);
    const { sequence, files, lasts, place: theirs } = newestOf(await states());
    if (theirs !== undefined && theirs !== place) throw otherFolder(baseDirectory, files);
    this.sequence = Math.max(this.sequence, sequence);
    this.files = files;
    this.isKept = lasts;
    for (const [name, mark] of files) {
      this.check();
      await recoverFile(disk, path.resolve(baseDirectory, name), mark);
    }
  }

  /** Whoever fences this run waits until the work is done: a late cut would hit what the newer run wrote. */
  private working<T>(work: () => Promise<T>): Promise<T> {
    const done = work();
    this.works.add(done);
    const end = (): unknown => this.works.delete(done);
    done.then(end, end);
    return done;
  }

  private async keepNow(): Promise<void> {
    for (const keeper of this.keepers) {
      if (this.isKept || this.isOver) return;
      try {
        await keeper.intent(this.stateOf(this.files, 0, false));
        this.isKept = true;
      } catch {
        // Its lease is over.
        this.keepers.delete(keeper);
      }
    }
  }

  private async keepInTurn({ states }: Commits): Promise<void> {
    const end = await this.turn();
    try {
      if (this.isOver) return;
      await this.working(async () => {
        await this.begin(states);
        await this.undo();
        await this.keep();
      });
    } catch {
      // The next append meets the same error, and says it.
    } finally {
      end?.();
    }
  }

  private async appendAll(lines: ReadonlyMap<string, Uint8Array>, commits: Commits): Promise<string> {
    await this.undo();
    const found: { entry: Entry; path: string; mark: Mark }[] = [];
    for (const filePath of lines.keys()) {
      const entry = this.entryOf(filePath);
      found.push({ entry, path: this.relative(filePath), mark: await this.ready(entry) });
    }
    await this.announce(found, commits);
    this.check();
    this.touched = found.map(({ mark, ...where }) => ({ ...where, before: mark, after: mark }));
    const results = await Promise.allSettled(
      this.touched.map(async touched => {
        touched.after = await touched.entry.file.append(lines.get(touched.entry.file.path) as Uint8Array);
      }),
    );
    const failed = results.find(result => result.status === 'rejected');
    if (failed) {
      await this.undo().catch(() => {});
      throw failed.reason;
    }
    await this.closeUnused();
    return this.stateOf(this.withTouched(), found.length, false);
  }

  /** Cuts off what was appended and not settled. What fails is tried again before the next append. */
  private async undo(): Promise<void> {
    this.check();
    while (this.touched.length > 0) {
      const { entry, before } = this.touched[0] as Touched;
      await entry.file.cutTo(before);
      this.touched.shift();
      this.check();
    }
  }

  /** The file as it is before an append, rotated when that is due. */
  private async ready(entry: Entry): Promise<Mark> {
    const { bytes } = this.options.rotation;
    const known = this.files.get(this.relative(entry.file.path)) ?? null;
    const mark = await this.opened(entry, known);
    const isDue = entry.isOld || (bytes !== null && mark.length >= bytes);
    if (!isDue || mark.length === 0) return mark;
    await this.rotate(entry);
    return this.opened(entry, null);
  }

  private async opened(entry: Entry, known: Mark | null): Promise<Mark> {
    const { clock, rotation } = this.options;
    const wasOpen = entry.file.isOpen;
    const mark = await entry.file.ready(known);
    if (!wasOpen && entry.age === null && rotation.ageMs !== null) {
      entry.age = clock.setTimer(rotation.ageMs, () => void this.rotateOld(entry));
    }
    return mark;
  }

  private async rotate(entry: Entry): Promise<void> {
    entry.age?.cancel();
    entry.age = null;
    entry.isOld = false;
    await entry.file.rotate();
  }

  /** By age a file is rotated without a further line; when that fails, before the next one. */
  private async rotateOld(entry: Entry): Promise<void> {
    entry.isOld = true;
    entry.age = null;
    const end = await this.turn();
    try {
      if (this.isOver || !entry.isOld) return;
      await this.working(async () => {
        await this.undo();
        const known = this.files.get(this.relative(entry.file.path)) ?? null;
        if ((await entry.file.ready(known)).length > 0) await this.rotate(entry);
      });
    } catch {
      // The next append meets the same error, and says it.
    } finally {
      end?.();
    }
  }

  /** Commits a state that tells of all these files as they are, unless the last one does, and stays. */
  private async announce(found: readonly { path: string; mark: Mark }[], { intent, lasts }: Commits): Promise<void> {
    const files = newestLast(
      this.files,
      found.map(({ path: name, mark }) => [name, mark]),
    );
    const state = this.stateOf(files, found.length, true);
    const isKnown = found.every(({ path: name, mark }) => {
      const known = this.files.get(name);
      return known?.generation === mark.generation && known.length === mark.length;
    });
    if (isKnown && (this.isKept || !lasts)) return;
    await intent(state);
    this.files = files;
    this.isKept = lasts;
  }

  private withTouched(): Files {
    return newestLast(
      this.files,
      this.touched.map(({ path: name, after }) => [name, after]),
    );
  }

  /** A state is never numbered like another: a commit that failed may have taken effect. Forgets the files that do not
   * fit into it. */
  private stateOf(files: Files, least: number, grow: boolean): string {
    const marks = { sequence: ++this.sequence, place: this.options.place, files };
    const state = encodeMarks(marks, least, grow);
    if (state !== null) return state;
    throw new SinkError('too-large', 'TOO_MANY_FILES', `the paths of ${least} files do not fit into one state`);
  }

  private entryOf(filePath: string): Entry {
    this.options.owners.claim(filePath, this.options.owner);
    const entry = this.entries.get(filePath) ?? {
      file: new LineFile(filePath, this.options.disk),
      age: null,
      isOld: false,
    };
    this.entries.delete(filePath);
    this.entries.set(filePath, entry);
    return entry;
  }

  /** Closes the longest unused files when there are too many. */
  private async closeUnused(): Promise<void> {
    const busy = new Set(this.touched.map(({ entry }) => entry));
    for (const [filePath, entry] of this.entries) {
      if (this.entries.size <= MOST_OPEN) return;
      if (busy.has(entry) || entry.file.isUnsettled) continue;
      this.entries.delete(filePath);
      this.options.owners.release(filePath, this.options.owner);
      entry.age?.cancel();
      await entry.file.close();
    }
  }

  private async closeFiles(): Promise<void> {
    for (const { file, age } of this.entries.values()) {
      age?.cancel();
      await file.close();
    }
    this.entries.clear();
  }

  private relative(filePath: string): string {
    return path.relative(this.options.baseDirectory, filePath);
  }

  private check(): void {
    if (this.isOver) throw new SinkError('fenced', 'RUN_OVER', 'a newer run of this sink writes its files');
  }
}

/** Cutting files of the same names here would take lines away that are committed. */
function otherFolder(baseDirectory: string, files: Files): SinkError {
  const names = [...files.keys()].slice(-3).join(', ');
  const said = `another folder than ${baseDirectory} has the files that are committed (${names})`;
  const help = 'start it where they are, or begin anew here with `millstream sink reset`';
  return new SinkError('fatal', 'OTHER_FOLDER', `${said}: ${help}`);
}

function newestLast(files: Files, touched: readonly [string, Mark][]): Files {
  const newest = new Map(files);
  for (const [name, mark] of touched) {
    newest.delete(name);
    newest.set(name, mark);
  }
  return newest;
}
