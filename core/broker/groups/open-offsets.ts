import { Bag } from '../../base/bag.ts';
import type { CommittedOffset, PositionKey } from './committed-offsets.ts';

interface OpenOffset {
  key: PositionKey;
  committed: CommittedOffset;
  /** The record's offset in the journal. */
  at: number;
}

/** Of one producer. */
interface Open {
  producerId: number;
  own: Map<string, OpenOffset>;
}

/** What open transactions are about to commit, by producer; a later position of one transaction replaces an earlier. */
export class OpenOffsets {
  private readonly open = new Bag<Open>();

  add(producerId: number, position: OpenOffset): void {
    let found = this.find(producerId);
    if (!found) this.open.add((found = { producerId, own: new Map() }));
    found.own.set(textOf(position.key), position);
  }

  of(producerId: number): OpenOffset[] {
    return [...(this.find(producerId)?.own.values() ?? [])];
  }

  /** Removes and returns what the producer's transaction holds. */
  take(producerId: number): OpenOffset[] {
    const found = this.find(producerId);
    if (!found) return [];
    this.open.remove(found);
    return [...found.own.values()];
  }

  has(key: PositionKey): boolean {
    if (this.open.size === 0) return false;
    const text = textOf(key);
    return this.open.findLast(({ own }) => own.has(text)) !== undefined;
  }

  keysOf(group: string): PositionKey[] {
    return this.keys().filter(key => key.group === group);
  }

  groups(): string[] {
    return [...new Set(this.keys().map(({ group }) => group))];
  }

  /** The position was removed: no transaction brings it back. */
  drop(key: PositionKey): void {
    const text = textOf(key);
    for (const { own } of this.open.all) own.delete(text);
  }

  private keys(): PositionKey[] {
    return this.open.all.flatMap(({ own }) => [...own.values()].map(({ key }) => key));
  }

  private find(producerId: number): Open | undefined {
    return this.open.findLast(each => each.producerId === producerId);
  }
}

/** No name of a topic has a slash. */
const textOf = ({ group, topic, partition }: PositionKey): string => `${topic}/${partition}/${group}`;
