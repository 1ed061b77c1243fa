import { dirname } from 'node:path';
import type { Disk, DiskFile } from '../../../core/base/disk.ts';
import type { Random } from '../../../core/base/random.ts';

/*
 * A disk in memory that forgets. What programs see is `content` and `names`; what a power cut leaves is `durable`
 * plus, of each change that no completed sync covers, all, nothing or (writes) some 512-byte sectors.
 */
const SECTOR_BYTES = 512;
const KEEPS: Record<Fate, number> = { lost: 0, some: 0.5, kept: 1 };

type Change = { kind: 'write'; position: number; bytes: Buffer } | { kind: 'truncate'; length: number };

const EMPTY = Buffer.alloc(0);

/** Bytes that grow; a gap is zeros. Copies share them until one of both changes. */
class Content {
  length = 0;
  private bytes = EMPTY;
  private isShared = false;

  apply(change: Change): void {
    if (change.kind === 'truncate') {
      this.reserve(change.length);
      if (change.length < this.length) this.bytes.fill(0, change.length, this.length);
      this.length = change.length;
    } else {
      this.reserve(change.position + change.bytes.length);
      change.bytes.copy(this.bytes, change.position);
      this.length = Math.max(this.length, change.position + change.bytes.length);
    }
  }

  slice(from: number, to: number): Buffer {
    return this.bytes.subarray(Math.min(from, this.length), Math.min(to, this.length));
  }

  copy(): Content {
    const copy = new Content();
    copy.length = this.length;
    copy.bytes = this.bytes;
    copy.isShared = this.isShared = true;
    return copy;
  }

  private reserve(length: number): void {
    if (length <= this.bytes.length && !this.isShared) return;
    const grown = length <= this.bytes.length ? this.bytes.length : Math.max(length, this.bytes.length * 2);
    const bytes = Buffer.alloc(grown);
    this.bytes.copy(bytes);
    this.bytes = bytes;
    this.isShared = false;
  }
}

interface Inode {
  content: Content;
  durable: Content;
  /** Not covered by a completed sync, oldest first. */
  pending: Change[];
}

type NameChange =
  | { kind: 'link'; path: string; node: Inode | 'directory' }
  | { kind: 'unlink'; path: string }
  | { kind: 'rename'; from: string; to: string; node: Inode | 'directory' };

type Names = Map<string, Inode | 'directory'>;

/** What becomes of changes that no completed sync covers. */
export type Fate = 'lost' | 'some' | 'kept';

/** What a program does to files between syncs: where cuts are worth most. */
export type DiskEvent = 'name' | 'truncate' | 'sync';

export interface Faults {
  /** Bytes that all files together may have. */
  capacity: number;
  /** Chance that a write stops short. */
  shortWrites: number;
  /** How many datasyncs succeed before one fails. */
  datasyncsUntilFailure: number;
}

export class FaultDisk implements Disk {
  faults: Faults = { capacity: Infinity, shortWrites: 0, datasyncsUntilFailure: Infinity };
  /** Told of every change of a name, every truncation and of each sync that begins. */
  onEvent: (event: DiskEvent, path: string) => void = () => {};
  /** Asked at every sync, on the stack of whoever wants it: true makes it a sync that does nothing. */
  skipsSync: (path: string) => boolean = () => false;
  /** Waits for so many turns of the event loop. */
  turns: (count: number) => Promise<void> = turnsOfTheLoop;
  private readonly random: Random;
  private readonly names: Names;
  private readonly durableNames: Names;
  private pendingNames: NameChange[] = [];
  private dead = false;

  constructor(random: Random, names: Names = new Map(), durableNames: Names = new Map()) {
    this.random = random;
    this.names = names;
    this.durableNames = durableNames;
  }

  /** The power goes: this disk answers nobody any more; the one returned holds what survived. */
  cut(fate: { names: Fate; data: Fate } = { names: 'some', data: 'some' }): FaultDisk {
    this.dead = true;
    const names = KEEPS[fate.names];
    const lost: { from: string; to: string }[] = [];
    for (const change of this.pendingNames) {
      // What was done in a folder was done to it, whatever it was called by then.
      const moved = lost.reduceRight(movedBack, change);
      if (this.random.float() < names) applyName(this.durableNames, moved);
      else if (moved.kind === 'rename' && moved.node === 'directory') lost.push(moved);
    }
    const survivors: Names = new Map();
    const made = new Map<Inode, Inode>();
    for (const [path, node] of this.durableNames) {
      if (!this.isReachable(path)) continue;
      if (node === 'directory') survivors.set(path, node);
      else {
        let copy = made.get(node);
        if (!copy) made.set(node, (copy = this.surviving(node, fate.data)));
        survivors.set(path, copy);
      }
    }
    return this.next(survivors, new Map(survivors));
  }

  /** Only the process goes (kill -9): everything written is there, and as far from durable as it was. */
  kill(): FaultDisk {
    this.dead = true;
    const copies = new Map<Inode, Inode>();
    const copy = (names: Names): Names =>
      new Map(
        [...names].map(([path, node]): [string, Inode | 'directory'] => {
          if (node === 'directory') return [path, node];
          let twin = copies.get(node);
          if (!twin) copies.set(node, (twin = copyOf(node)));
          return [path, twin];
        }),
      );
    const next = this.next(copy(this.names), copy(this.durableNames));
    next.pendingNames = this.pendingNames.map(change =>
      'node' in change && change.node !== 'directory'
        ? { ...change, node: copies.get(change.node) ?? change.node }
        : change,
    );
    return next;
  }

  /** Leaves so many bytes free; Infinity ends it. */
  leaveRoom(bytes: number): void {
    this.faults.capacity = this.usedBytes() + bytes;
  }

  async open(path: string, mode: 'read' | 'readwrite' | 'create'): Promise<DiskFile> {
    await this.pass();
    return this.openSync(path, mode);
  }

  openSync(path: string, mode: 'read' | 'readwrite' | 'create'): DiskFile {
    let node = this.names.get(path);
    if (node === 'directory') throw failure('EISDIR', path);
    if (!node) {
      if (mode !== 'create' || this.names.get(dirname(path)) !== 'directory') throw failure('ENOENT', path);
      node = { content: new Content(), durable: new Content(), pending: [] };
      this.change({ kind: 'link', path, node });
    }
    return this.fileOf(path, node);
  }

  async makeDirectory(path: string): Promise<void> {
    await this.pass();
    if (this.names.has(path)) return;
    if (path !== '/') await this.makeDirectory(dirname(path));
    this.change({ kind: 'link', path, node: 'directory' });
  }

  async list(path: string): Promise<string[]> {
    await this.pass();
    const prefix = `${path}/`;
    const found: string[] = [];
    for (const name of this.names.keys()) {
      if (name.startsWith(prefix) && !name.includes('/', prefix.length)) found.push(name.slice(prefix.length));
    }
    return found.toSorted();
  }

  async exists(path: string): Promise<boolean> {
    await this.pass();
    return this.names.has(path);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.pass();
    const node = this.names.get(from);
    if (!node) throw failure('ENOENT', from);
    this.change({ kind: 'rename', from, to, node });
  }

  async remove(path: string): Promise<void> {
    await this.pass();
    if (this.names.has(path)) this.change({ kind: 'unlink', path });
  }

  async removeDirectory(path: string): Promise<void> {
    await this.pass();
    for (const name of [...this.names.keys()].toSorted().toReversed()) {
      if (name === path || name.startsWith(`${path}/`)) this.change({ kind: 'unlink', path: name });
    }
  }

  async syncDirectory(path: string): Promise<void> {
    this.onEvent('sync', path);
    if (this.skipsSync(path)) return this.pass();
    const covered = new Set(this.pendingNames.filter(change => namesOf(change).some(name => dirname(name) === path)));
    await this.pass();
    // A sync that began later may have ended before: what it made durable is not made so again.
    for (const change of this.pendingNames) if (covered.has(change)) applyName(this.durableNames, change);
    this.pendingNames = this.pendingNames.filter(change => !covered.has(change));
  }

  async space(): Promise<{ free: number; total: number }> {
    await this.pass();
    return { free: this.faults.capacity - this.usedBytes(), total: this.faults.capacity };
  }

  /** Files that have changes which no completed sync covers. */
  unsynced(): string[] {
    return [...this.names].filter(([, node]) => node !== 'directory' && node.pending.length > 0).map(([path]) => path);
  }

  /** Everything below a folder as programs see it now, by path. */
  contents(folder: string): Map<string, Uint8Array> {
    const found = new Map<string, Uint8Array>();
    for (const [path, node] of this.names) {
      if (node === 'directory' || !path.startsWith(`${folder}/`)) continue;
      found.set(path.slice(folder.length + 1), Uint8Array.from(node.content.slice(0, node.content.length)));
    }
    return found;
  }

  private fileOf(path: string, node: Inode): DiskFile {
    const write = (buffers: readonly Uint8Array[], position: number): number => {
      let bytes = Buffer.concat(buffers);
      if (this.random.float() < this.faults.shortWrites && bytes.length > 1) {
        bytes = bytes.subarray(0, 1 + Math.floor(this.random.float() * (bytes.length - 1)));
      }
      if (this.faults.capacity < Infinity) {
        const grown = Math.max(0, position + bytes.length - node.content.length);
        const room = Math.max(0, this.faults.capacity - this.usedBytes());
        if (grown > room) bytes = bytes.subarray(0, Math.max(0, bytes.length - (grown - room)));
      }
      if (bytes.length === 0) throw failure('ENOSPC', path);
      const change: Change = { kind: 'write', position, bytes };
      node.content.apply(change);
      node.pending.push(change);
      return bytes.length;
    };
    const truncate = (length: number): void => {
      this.onEvent('truncate', path);
      node.content.apply({ kind: 'truncate', length });
      node.pending.push({ kind: 'truncate', length });
    };
    const read = (target: Uint8Array, position: number): number => {
      const part = node.content.slice(position, position + target.length);
      target.set(part);
      return part.length;
    };
    return {
      path,
      size: async () => {
        await this.pass();
        return node.content.length;
      },
      writeSync: write,
      write: async (buffers, position) => {
        await this.pass();
        return write(buffers, position);
      },
      read: async (target, position) => {
        await this.pass();
        return read(target, position);
      },
      readSync: read,
      truncate: async length => {
        await this.pass();
        truncate(length);
      },
      truncateSync: truncate,
      datasync: async () => {
        this.onEvent('sync', path);
        if (this.skipsSync(path)) return this.pass();
        const covered = new Set(node.pending);
        await this.pass(this.random.float() < 0.1 ? 30 : 3);
        const left = node.pending.filter(change => covered.has(change));
        node.pending = node.pending.filter(change => !covered.has(change));
        // As Linux does: after the error the pages count as clean, and what they held is on no disk.
        if (this.faults.datasyncsUntilFailure-- <= 0) throw failure('EIO', path);
        for (const change of left) node.durable.apply(change);
      },
      close: () => this.pass(),
    };
  }

  private change(change: NameChange): void {
    applyName(this.names, change);
    this.pendingNames.push(change);
    this.onEvent('name', namesOf(change).at(-1));
  }

  /** Some turns of the event loop; for ever once the disk is dead. */
  private async pass(most = 3): Promise<void> {
    await this.turns(1 + Math.floor(this.random.float() * most));
    if (this.dead) await new Promise(() => {});
  }

  private next(names: Names, durableNames: Names): FaultDisk {
    const next = new FaultDisk(this.random, names, durableNames);
    next.turns = this.turns;
    return next;
  }

  private usedBytes(): number {
    let sum = 0;
    for (const node of this.names.values()) if (node !== 'directory') sum += node.content.length;
    return sum;
  }

  private isReachable(path: string): boolean {
    for (let at = dirname(path); at !== '/'; at = dirname(at))
      if (this.durableNames.get(at) !== 'directory') return false;
    return true;
  }

  private surviving(node: Inode, fate: Fate): Inode {
    const content = node.durable.copy();
    for (const change of fate === 'lost' ? [] : node.pending) {
      const luck = fate === 'kept' ? 0.5 : this.random.float();
      if (luck < 0.35) continue;
      if (luck < 0.7 || change.kind === 'truncate') content.apply(change);
      else for (const sector of this.sectorsOf(change)) content.apply(sector);
    }
    return { content, durable: content.copy(), pending: [] };
  }

  /** Some of the write's sectors. */
  private sectorsOf(change: { position: number; bytes: Buffer }): Change[] {
    const sectors: Change[] = [];
    const end = change.position + change.bytes.length;
    for (let at = change.position; at < end; ) {
      const next = Math.min(end, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
      const bytes = change.bytes.subarray(at - change.position, next - change.position);
      if (this.random.float() < 0.5) sectors.push({ kind: 'write', position: at, bytes });
      at = next;
    }
    return sectors;
  }
}

async function turnsOfTheLoop(count: number): Promise<void> {
  for (; count > 0; count--) await new Promise(resolve => setImmediate(resolve));
}

function copyOf(node: Inode): Inode {
  return { content: node.content.copy(), durable: node.durable.copy(), pending: [...node.pending] };
}

function namesOf(change: NameChange): string[] {
  return change.kind === 'rename' ? [change.from, change.to] : [change.path];
}

/** The same change in a folder that has not got its new name. */
function movedBack(change: NameChange, { from, to }: { from: string; to: string }): NameChange {
  const old = (path: string): string => (path.startsWith(`${to}/`) ? from + path.slice(to.length) : path);
  if (change.kind === 'rename') return { ...change, from: old(change.from), to: old(change.to) };
  return { ...change, path: change.kind === 'unlink' && change.path === to ? from : old(change.path) };
}

function applyName(names: Names, change: NameChange): void {
  if (change.kind === 'link') names.set(change.path, change.node);
  else if (change.kind === 'unlink') names.delete(change.path);
  else {
    names.delete(change.from);
    names.set(change.to, change.node);
    if (change.node !== 'directory') return;
    for (const [path, node] of names) {
      if (!path.startsWith(`${change.from}/`)) continue;
      names.delete(path);
      names.set(change.to + path.slice(change.from.length), node);
    }
  }
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
