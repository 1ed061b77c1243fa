/**
 * Things that come and go all the time, in their order.
 *
 * An array on purpose. A Map or Set that is emptied again and again makes a new table each time, and the old one points to
 * it: once one of them has survived into V8's old generation, all that follow survive too, with everything that was in
 * them, until a full collection. A thousand commits a second made 5 MB of such survivors.
 */
export class Bag<T> {
  private items: T[] = [];

  get size(): number {
    return this.items.length;
  }

  /** As it is now; what comes and goes later does not change it. */
  get all(): T[] {
    return this.items.slice();
  }

  /** Returns what takes it out again. */
  add(item: T): () => void {
    this.items.push(item);
    return () => this.remove(item);
  }

  remove(item: T): boolean {
    const at = this.items.indexOf(item);
    if (at >= 0) this.items.splice(at, 1);
    return at >= 0;
  }

  first(): T | undefined {
    return this.items[0];
  }

  /** The newest that fits. */
  findLast(fits: (item: T) => boolean): T | undefined {
    return this.items.findLast(fits);
  }

  /** Empties it, and returns what was in it. */
  take(): T[] {
    const { items } = this;
    this.items = [];
    return items;
  }
}
