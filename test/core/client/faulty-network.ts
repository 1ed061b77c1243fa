import { Duplex } from 'node:stream';
import type { Network } from '../../../core/base/network.ts';
import { nodeNetwork } from '../../../core/base/node-network.ts';

/** The real network, with a hand on every wire. */
export class FaultyNetwork implements Network {
  /** While set, the next bytes that arrive are lost together with their connection. */
  loseNextAnswer = false;
  opened = 0;
  /** While set: from the next request with this API key on, its wire sends nothing until `letGo`. */
  holdFrom: number | null = null;
  private readonly held = new Map<Duplex, (() => void)[]>();
  private isUnplugged = false;
  private readonly wires = new Set<Duplex>();

  async connect(host: string, port: number, signal: AbortSignal): Promise<Duplex> {
    if (this.isUnplugged) throw new Error('unplugged by the test');
    const real = await nodeNetwork.connect(host, port, signal);
    this.opened++;
    const wire = new Duplex({
      read: () => {},
      write: (chunk: Buffer, _encoding, done) => {
        if (this.holdFrom !== null && chunk.length >= 6 && chunk.readInt16BE(4) === this.holdFrom)
          this.held.set(wire, []);
        const held = this.held.get(wire);
        if (!held) return void real.write(chunk, () => done());
        held.push(() => void real.write(chunk));
        done();
      },
      destroy: (error, done) => {
        real.destroy();
        this.wires.delete(wire);
        done(error);
      },
    });
    this.wires.add(wire);
    real.on('error', error => wire.destroy(error));
    real.on('close', () => wire.destroy());
    real.on('data', (bytes: Buffer) => {
      if (this.loseNextAnswer) {
        this.loseNextAnswer = false;
        wire.destroy();
      } else if (!wire.destroyed) wire.push(bytes);
    });
    return wire;
  }

  get isHolding(): boolean {
    return this.held.size > 0;
  }

  letGo(): void {
    this.holdFrom = null;
    for (const sends of this.held.values()) for (const send of sends) send();
    this.held.clear();
  }

  /** As after a crash of this side: nothing goes out or comes in any more. */
  unplug(): void {
    this.isUnplugged = true;
    this.cut();
  }

  plugIn(): void {
    this.isUnplugged = false;
  }

  /** Breaks every connection there is now. */
  cut(): void {
    for (const wire of this.wires) wire.destroy(new Error('cut by the test'));
  }
}
