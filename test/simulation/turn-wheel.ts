/**
 * Who waits for turns of a simulated world waits here: one turn of the event loop for all of them, not one for each.
 * Those of one turn go on in the order in which they came.
 */
export class TurnWheel {
  private readonly waiting = new Map<number, (() => void)[]>();
  private now = 0;

  /** After `count` turns; at once for none. */
  readonly wait = (count: number): Promise<void> => {
    if (count <= 0) return Promise.resolve();
    return new Promise(resolve => {
      const due = this.waiting.get(this.now + count);
      if (due) due.push(resolve);
      else this.waiting.set(this.now + count, [resolve]);
    });
  };

  /** One turn, once everything that can go on by itself has done so. */
  async turn(): Promise<void> {
    await new Promise(resolve => setImmediate(resolve));
    const due = this.waiting.get(++this.now);
    this.waiting.delete(this.now);
    for (const goOn of due ?? []) goOn();
  }
}
