import type { Logger } from '../base/logger.ts';

/** Functions that are called when something moved. One that throws does no harm to the others, nor to the caller. */
export class Listeners {
  private readonly logger: Logger;
  private readonly listeners = new Set<() => void>();

  constructor(logger: Logger) {
    this.logger = logger;
  }

  /** Returns the unsubscribe. */
  add(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  clear(): void {
    this.listeners.clear();
  }

  tell(): void {
    if (this.listeners.size === 0) return;
    // Those that subscribe meanwhile are told the next time.
    for (const listener of Array.from(this.listeners)) {
      try {
        listener();
      } catch (error) {
        this.logger.error('A listener of a log failed.', { error });
      }
    }
  }
}
