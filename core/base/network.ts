import type { Duplex } from 'node:stream';

/** The network is handed in, so that a test can put anything at the other end. */
export interface Network {
  /** Opens a byte stream to the host's port. Rejects with Node's own error (`code` ECONNREFUSED, ENOTFOUND, ...), or with
   * the signal's reason when that is aborted first; afterwards the signal means nothing. */
  connect(host: string, port: number, signal: AbortSignal): Promise<Duplex>;
}
