/** Who writes beside the copiers: what they copy, transactions that are aborted, and some whose writer dies inside. */
import kafkajs from 'kafkajs';
import { sleep } from '../../servers/process.ts';

const RETRIES = { initialRetryTime: 50, maxRetryTime: 300, retries: 30 };

export function kafkaOf(bootstrap: string): kafkajs.Kafka {
  const logLevel = kafkajs.logLevel.NOTHING;
  return new kafkajs.Kafka({
    clientId: 'writers',
    brokers: [bootstrap],
    logLevel,
    connectionTimeout: 1000,
    retry: RETRIES,
  });
}

export class Writer {
  /** Values by what the broker has said of their transactions; of others nobody knows. */
  readonly committed: string[] = [];
  readonly aborted: string[] = [];
  /** Sent in a transaction that nobody ended. */
  readonly left: string[] = [];
  readonly #kafka: kafkajs.Kafka;
  readonly #input: { topic: string; partitions: number };
  readonly #output: { topic: string; partitions: number };
  readonly #timeoutMs: number;
  #stopped = false;
  #paused = false;
  #running: Promise<void> | null = null;
  #next = 0;

  constructor(
    bootstrap: string,
    input: { topic: string; partitions: number },
    output: { topic: string; partitions: number },
    timeoutMs: number,
  ) {
    this.#kafka = kafkaOf(bootstrap);
    this.#input = input;
    this.#output = output;
    this.#timeoutMs = timeoutMs;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Nothing is sent to a broker that is not there: what it was sent before is enough to lose. */
  pause(paused: boolean): void {
    this.#paused = paused;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    let producer: kafkajs.Producer | null = null;
    for (let turn = 1; !this.#stopped; turn++) {
      while (this.#paused && !this.#stopped) await sleep(20);
      try {
        producer ??= await this.#open(`${this.#input.topic}-writer`);
        if (turn % 40 === 0) await this.#die(turn);
        else await this.#write(producer, turn % 4 === 0);
      } catch {
        // A new one ends what this one left.
        await producer?.disconnect().catch(() => {});
        producer = null;
      }
      await sleep(20);
    }
    await producer?.disconnect().catch(() => {});
  }

  async #open(transactionalId: string): Promise<kafkajs.Producer> {
    const producer = this.#kafka.producer({
      transactionalId,
      idempotent: true,
      maxInFlightRequests: 1,
      transactionTimeout: this.#timeoutMs,
    });
    await producer.connect();
    return producer;
  }

  /** To the input what is to be copied; what is aborted goes to the output too. */
  async #write(producer: kafkajs.Producer, abort: boolean): Promise<void> {
    const transaction = await producer.transaction();
    try {
      const values = await this.#send(transaction, abort);
      if (abort) await transaction.abort();
      else await transaction.commit();
      (abort ? this.aborted : this.committed).push(...values);
    } catch (error) {
      if (transaction.isActive()) await transaction.abort().catch(() => {});
      throw error;
    }
  }

  /** As a process does that is killed inside its transaction: the connection is gone, and nobody ends it. */
  async #die(turn: number): Promise<void> {
    const producer = await this.#open(`${this.#input.topic}-dies-${turn}`);
    const transaction = await producer.transaction();
    const values = await this.#send(transaction, true);
    await producer.disconnect();
    this.left.push(...values);
  }

  async #send(transaction: kafkajs.Transaction, dies: boolean): Promise<string[]> {
    const written: string[] = [];
    for (const { topic, partitions } of dies ? [this.#input, this.#output] : [this.#input]) {
      const messages = Array.from({ length: partitions * 6 }, (_, i) => {
        const value = `${dies ? 'never' : 'record'} ${this.#next++}`;
        return { key: value, value, partition: i % partitions };
      });
      await transaction.send({ topic, messages });
      written.push(...messages.map(({ value }) => value));
    }
    return written;
  }
}
