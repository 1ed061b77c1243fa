import { MillstreamError } from '../../../core/base/errors.ts';
import { batchesIn, readRecords } from '../../../core/engine/records.ts';
import type { StateChanges } from '../sandbox.ts';
import { type ChangelogEntry, changelogBatches } from './changelog-batches.ts';
import { type StateMark, StepState } from './step-state.ts';

/*
 * The changelog of a pipeline's state: topic `<pipeline>.state`, one partition for each of the source topic, compacted.
 * Every commit appends what its records have changed, so that the newest record of each key is the state. A step's name
 * has no slash.
 *
 *   key                      value
 *   v/<step>/<key>           what the module has put there; null: deleted
 *   t/<step>/<timer>         empty; null: it has come. <timer>: eight bytes of its time (step-state.ts), then its key
 *   c/<step>                 the step's time, milliseconds since the epoch, decimal. A tick changes nothing but this
 *   h/<step>                 {"v":1,"state_version":1,"partitions":6}: whose state this is
 */

/** What a step's state was written by; another one cannot go on from it. */
export interface StateHead {
  /** The module's, as its module.toml says. */
  version: number;
  /** Of the source topic. */
  partitions: number;
}

export interface StateSpec extends StateHead {
  step: string;
  limitBytes: number;
}

/** A snapshot is made when so much was written behind the last one, or twice what there is. */
const LEAST_SNAPSHOT_BYTES = 1024 * 1024;

/** The state of a chain's steps on one partition, and how it becomes records and comes back from them. */
export class ChainState {
  readonly steps = new Map<string, StepState>();
  private readonly specs: readonly StateSpec[];
  private readonly withoutHead = new Set<string>();
  /** In changelog batches since the last snapshot. */
  private written = 0;

  /** `batches`: the changelog, oldest first; `entries`: how many they must give, null when nobody knows. Kind `conflict`,
   * code STATE_REFUSED when the steps cannot go on from it. */
  constructor(specs: readonly StateSpec[], batches: readonly Uint8Array[], entries: number | null) {
    this.specs = specs;
    for (const { step, limitBytes } of specs) {
      this.steps.set(step, new StepState(limitBytes));
      this.withoutHead.add(step);
    }
    for (const batch of batches) this.load(batch);
    // What is loaded and not compacted comes back with every new thread: a snapshot is due soon.
    this.written = batches.reduce((sum, batch) => sum + batch.length, 0);
    if (entries !== null && entries !== this.entries) {
      throw refused(`the changelog gives ${this.entries} entries of state, the last commit left ${entries}`);
    }
  }

  /** When the next timer of any step comes; null: there is none. */
  private get nextTimer(): number | null {
    const next = Math.min(...[...this.steps.values()].map(step => step.nextTimer));
    return Number.isFinite(next) ? next : null;
  }

  private get entries(): number {
    let entries = 0;
    for (const { values, timers } of this.steps.values()) entries += values.size + timers.size;
    return entries;
  }

  mark(): StateMark[] {
    return [...this.steps.values()].map(step => step.mark());
  }

  rollBack(to: readonly StateMark[]): void {
    [...this.steps.values()].forEach((step, i) => step.rollBack(to[i] as StateMark));
  }

  /** What has changed since this was asked last; `at`: milliseconds since the epoch. */
  changes(at: number): StateChanges {
    const entries: ChangelogEntry[] = [];
    for (const spec of this.specs) this.changesOf(spec, entries);
    const batches = changelogBatches(entries, at);
    for (const batch of batches) this.written += batch.length;
    return { batches, entries: this.entries, nextTimer: this.nextTimer };
  }

  /** All there is, if the batches since the last snapshot are much longer than that; otherwise null. */
  snapshot(at: number): Uint8Array[] | null {
    const bytes = [...this.steps.values()].reduce((sum, step) => sum + step.bytes, 0);
    if (this.written < Math.max(LEAST_SNAPSHOT_BYTES, 2 * bytes)) return null;
    const entries: ChangelogEntry[] = [];
    for (const spec of this.specs) {
      const { step } = spec;
      const state = this.steps.get(step) as StepState;
      if (!this.withoutHead.has(step)) entries.push(headOf(spec));
      for (const [name, value] of state.values.all()) entries.push({ prefix: `v/${step}/`, name, value });
      for (const [name, value] of state.timers.all()) entries.push({ prefix: `t/${step}/`, name, value });
      entries.push(timeOf(step, state.time));
    }
    this.written = bytes;
    return changelogBatches(entries, at);
  }

  private changesOf(spec: StateSpec, entries: ChangelogEntry[]): void {
    const { step } = spec;
    const state = this.steps.get(step) as StepState;
    const before = entries.length;
    const [values, timers] = [`v/${step}/`, `t/${step}/`];
    for (const [name, value] of state.values.settle()) entries.push({ prefix: values, name, value });
    for (const [name, value] of state.timers.settle()) entries.push({ prefix: timers, name, value });
    if (state.settleTime()) entries.push(timeOf(step, state.time));
    if (entries.length === before || !this.withoutHead.delete(step)) return;
    entries.push(headOf(spec));
  }

  private load(bytes: Uint8Array): void {
    for (const { at, header } of batchesIn(bytes)) {
      for (const { key, value } of readRecords(bytes.subarray(at, at + header.sizeBytes))) {
        if (key) this.loadOne(text(key), value);
      }
    }
  }

  private loadOne(key: string, value: Uint8Array | null): void {
    const slash = key.indexOf('/', 2);
    const step = slash < 0 ? key.slice(2) : key.slice(2, slash);
    const name = slash < 0 ? '' : key.slice(slash + 1);
    const state = this.steps.get(step);
    if (!state) {
      if (value === null) return;
      throw refused(
        `the changelog holds state of a step \`${step}\`, which the pipeline does not have, or which keeps none now`,
      );
    }
    const kind = key[0];
    if (kind === 'v') state.values.load(name, value === null ? undefined : text(value));
    else if (kind === 't') state.timers.load(name, value === null ? undefined : '');
    else if (kind === 'c' && value) state.loadTime(Number(text(value)));
    else if (kind === 'h' && value) this.checkHead(step, text(value));
  }

  private checkHead(step: string, json: string): void {
    const spec = this.specs.find(each => each.step === step) as StateSpec;
    const { v, state_version: version, partitions } = JSON.parse(json) as Record<string, number>;
    this.withoutHead.delete(step);
    if (v !== 1) throw refused(`the state of step \`${step}\` was written by a newer Millstream`);
    if (version !== spec.version) {
      throw refused(
        `the state of step \`${step}\` has version ${version}, its module is made for version ${spec.version}`,
      );
    }
    if (partitions !== spec.partitions) {
      throw refused(
        `the state of step \`${step}\` is that of ${partitions} source partitions, now there are ${spec.partitions}: its keys lie elsewhere`,
      );
    }
  }
}

/** Kind `conflict`, code STATE_REFUSED. The sentence says the way out too: it is shown as the reason of a pipeline that
 * stands still. */
export function refused(why: string): MillstreamError {
  const help = '`millstream pipeline reset` lets it begin with an empty state';
  return new MillstreamError('conflict', 'STATE_REFUSED', `${why}; ${help}`);
}

const text = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');

function headOf({ step, version, partitions }: StateSpec): ChangelogEntry {
  const value = JSON.stringify({ v: 1, state_version: version, partitions });
  return { prefix: `h/${step}`, name: '', value };
}

const timeOf = (step: string, time: number): ChangelogEntry => ({ prefix: `c/${step}`, name: '', value: String(time) });
