/** One at a time, in the order in which they asked. */
export class Turns {
  private last: Promise<void> = Promise.resolve();

  /** Resolves when it is the caller's turn, with the function that ends it. Null when the signal is aborted first. */
  async next(signal?: AbortSignal): Promise<(() => void) | null> {
    const before = this.last;
    let end = (): void => {};
    this.last = new Promise(resolve => {
      end = resolve;
    });
    await before;
    if (!signal?.aborted) return end;
    end();
    return null;
  }
}
