/** A client that must be served whatever others do: it produces, reads back and compares, over and over. */
import { Wire } from '../servers/wire.ts';
import { decodeBatches, decodeValues, encodeBatch } from '../servers/wire-batch.ts';

export class Healthy {
  readonly #bootstrap: string;
  readonly #topic: string;
  #running: Promise<void> | undefined;
  #stopped = false;
  /** Round trips so far. */
  served = 0;
  /** The longest round trip, in milliseconds. */
  longestMs = 0;
  /** The first thing that went wrong; nothing may. */
  failure: unknown;

  constructor(bootstrap: string, topic: string) {
    this.#bootstrap = bootstrap;
    this.#topic = topic;
  }

  async start(): Promise<void> {
    const wire = await Wire.connect(this.#bootstrap);
    const error = await wire.createTopic(this.#topic, 1);
    if (error !== 0) throw new Error(`CreateTopics: error ${error}`);
    this.#running = this.#run(wire).catch((thrown: unknown) => {
      this.failure ??= thrown;
    });
  }

  async #run(first: Wire): Promise<void> {
    let wire = first;
    for (let n = 0; !this.#stopped; n++) {
      // A new connection now and then: new clients must get in too.
      if (n % 10 === 9) {
        wire.close();
        wire = await Wire.connect(this.#bootstrap);
        await wire.apiVersions();
      }
      const started = performance.now();
      const value = Buffer.from(`healthy ${n}`);
      const produced = await wire.produce(this.#topic, 0, encodeBatch({ values: [value] }));
      if (produced.error !== 0 || produced.offset !== n) {
        throw new Error(`produce ${n}: error ${produced.error}, offset ${produced.offset}`);
      }
      const fetched = await wire.fetch(this.#topic, 0, n);
      const [batch] = decodeBatches(fetched.records);
      const read = batch === undefined ? undefined : decodeValues(batch)[0];
      if (read?.offset !== n || !value.equals(read.value)) throw new Error(`fetch ${n}: error ${fetched.error}`);
      this.longestMs = Math.max(this.longestMs, performance.now() - started);
      this.served = n + 1;
    }
    wire.close();
  }

  /** Ends it; throws when anything went wrong. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    if (this.failure !== undefined) throw new Error('the healthy client was not served', { cause: this.failure });
  }
}
