import type { CommittedOffset, PositionKey } from './committed-offsets.ts';

interface OpenOffset {
  key: PositionKey;
  committed: CommittedOffset;
  /** The record's offset in the journal. */
  at: number;
}

/** What open transactions are about to commit, by producer; a later position of one transaction replaces an earlier. */
export class OpenOffsets {
  private readonly byProducer = new Map<number, Map<string, OpenOffset>>();

  add(producerId: number, position: OpenOffset): void {
    let own = this.byProducer.get(producerId);
    if (!own) this.byProducer.set(producerId, (own = new Map()));
    own.set(textOf(position.key), position);
  }

  of(producerId: number): OpenOffset[] {
    return [...(this.byProducer.get(producerId)?.values() ?? [])];
  }

  /** Removes and returns what the producer's transaction holds. */
  take(producerId: number): OpenOffset[] {
    const own = this.of(producerId);
    this.byProducer.delete(producerId);
    return own;
  }

  has(key: PositionKey): boolean {
    if (this.byProducer.size === 0) return false;
    const text = textOf(key);
    for (const own of this.byProducer.values()) if (own.has(text)) return true;
    return false;
  }

  keysOf(group: string): PositionKey[] {
    const keys: PositionKey[] = [];
    for (const own of this.byProducer.values()) {
      for (const { key } of own.values()) if (key.group === group) keys.push(key);
    }
    return keys;
  }

  groups(): string[] {
    const groups = new Set<string>();
    for (const own of this.byProducer.values()) for (const { key } of own.values()) groups.add(key.group);
    return [...groups];
  }

  /** The position was removed: no transaction brings it back. */
  drop(key: PositionKey): void {
    const text = textOf(key);
    for (const own of this.byProducer.values()) own.delete(text);
  }
}

/** No name of a topic has a slash. */
const textOf = ({ group, topic, partition }: PositionKey): string => `${topic}/${partition}/${group}`;
