import { Bag } from '../base/bag.ts';
import type { Logger } from '../base/logger.ts';

/** Functions that are called when something moved. One that throws does no harm to the others, nor to the caller. */
export class Listeners {
  private readonly logger: Logger;
  private readonly listeners = new Bag<() => void>();

  constructor(logger: Logger) {
    this.logger = logger;
  }

  /** Returns the unsubscribe. */
  add(listener: () => void): () => void {
    return this.listeners.add(listener);
  }

  clear(): void {
    this.listeners.take();
  }

  tell(): void {
    if (this.listeners.size === 0) return;
    // Those that subscribe meanwhile are told the next time.
    for (const listener of this.listeners.all) {
      try {
        listener();
      } catch (error) {
        this.logger.error('A listener of a log failed.', { error });
      }
    }
  }
}
