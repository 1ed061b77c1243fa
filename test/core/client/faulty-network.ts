import { Duplex } from 'node:stream';
import type { Network } from '../../../core/base/network.ts';
import { nodeNetwork } from '../../../core/base/node-network.ts';

/** The real network, with a hand on every wire. */
export class FaultyNetwork implements Network {
  /** While set, the next bytes that arrive are lost together with their connection. */
  loseNextAnswer = false;
  opened = 0;
  private isUnplugged = false;
  private readonly wires = new Set<Duplex>();

  async connect(host: string, port: number, signal: AbortSignal): Promise<Duplex> {
    if (this.isUnplugged) throw new Error('unplugged by the test');
    const real = await nodeNetwork.connect(host, port, signal);
    this.opened++;
    const wire = new Duplex({
      read: () => {},
      write: (chunk: Buffer, _encoding, done) => {
        real.write(chunk, () => done());
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
