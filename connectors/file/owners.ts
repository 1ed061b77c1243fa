import { SinkError } from '../runtime/sink-error.ts';
import type { FileLedger } from './ledger.ts';

/** Who writes where, in this process: a path belongs to one sink, and a sink to its newest run. */
export class Owners {
  private readonly runs = new Map<string, FileLedger>();
  private readonly paths = new Map<string, string>();

  /** From now on `run` writes for the sink `owner`; the run before it writes no more when this resolves. */
  async begin(owner: string, run: FileLedger): Promise<void> {
    const before = this.runs.get(owner);
    this.runs.set(owner, run);
    if (before && before !== run) await before.fence();
  }

  /** A SinkError `fatal` when another sink writes there. */
  claim(path: string, owner: string): void {
    const other = this.paths.get(path);
    if (other !== undefined && other !== owner) {
      throw new SinkError('fatal', 'FILE_IN_USE', `${path} is already written by the sink ${other}`, {
        help: 'Give each sink a path of its own.',
      });
    }
    this.paths.set(path, owner);
  }

  release(path: string, owner: string): void {
    if (this.paths.get(path) === owner) this.paths.delete(path);
  }

  end(owner: string, run: FileLedger): void {
    if (this.runs.get(owner) !== run) return;
    this.runs.delete(owner);
    for (const [path, its] of this.paths) if (its === owner) this.paths.delete(path);
  }
}
