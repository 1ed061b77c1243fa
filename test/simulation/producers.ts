import type { Random } from '../../core/base/random.ts';
import { type BatchOptions, encodeBatch } from '../../core/log/record.ts';
import { TransactionalClient } from '../core/broker/transactions/client.ts';
import { KINDS } from './checker/model.ts';
import type { Life } from './life.ts';

/** INVALID_TXN_STATE and, without epochs that every end bumps, PRODUCER_FENCED: it was aborted for taking so long. */
const TOO_LATE = [48, 90];
const TIMEOUT_MS = 600_000;
/** Transactional producers have a clock that stands still: what they send comes late. */
const STANDING_CLOCK = 1_700_000_000_000;

/** A value that was handed to the broker, and what is known of it. */
export interface Sent {
  value: string;
  partition: number;
  /** As acknowledged; null while it is not. */
  offset: number | null;
  /** Of a transaction: which one. */
  transaction: Transaction | null;
}

export interface Transaction {
  values: Sent[];
  begun: number;
  asked: 'commit' | 'abort' | null;
  outcome: 'committed' | 'aborted' | 'unknown';
}

/** Where a producer writes, and what it makes of a value there. */
export interface Target {
  topic: string;
  entry(value: string): { key: Uint8Array | null; value: Uint8Array | null; headers: [string, Uint8Array][] };
}

export const INPUT: Target = {
  topic: 'in',
  entry: value => ({ key: null, value: Buffer.from(value), headers: [] }),
};

/** Writes until the process ends; goes on after the next start. */
export abstract class Producer {
  readonly name: string;
  readonly target: Target;
  readonly sent: Sent[] = [];
  protected readonly random: Random;
  protected readonly partitions: number;

  constructor(name: string, partitions: number, random: Random, target = INPUT) {
    this.name = name;
    this.partitions = partitions;
    this.random = random;
    this.target = target;
  }

  /** After a start: whatever was not answered is asked again, or given up. */
  abstract comeBack(life: Life): Promise<void>;
  abstract once(life: Life): Promise<void>;

  protected below(limit: number): number {
    return Math.floor(this.random.float() * limit);
  }

  protected make(partition: number, transaction: Transaction | null = null): Sent {
    const kind = KINDS[this.below(KINDS.length)] ?? 'p';
    const flag = this.random.float() < 0.08 ? 'x' : '-';
    const sent: Sent = {
      value: `${kind}${flag}${this.name}.${this.sent.length}`,
      partition,
      offset: null,
      transaction,
    };
    this.sent.push(sent);
    return sent;
  }

  protected encode(values: readonly Sent[], timestamp: number, options: BatchOptions): Uint8Array {
    const pad = Buffer.alloc(this.random.float() < 0.3 ? this.below(400) : 0, 97);
    return encodeBatch(
      values.map(sent => {
        const { key, value, headers } = this.target.entry(sent.value);
        return { timestamp, key, value, headers: [...headers, ['pad', pad]] };
      }),
      { codec: this.random.float() < 0.2 ? 'gzip' : 'none', ...options },
    );
  }

  /** Error code, and base offset when there is none. */
  protected async produce(
    life: Life,
    index: number,
    records: Uint8Array,
  ): Promise<{ errorCode: number; baseOffset: number }> {
    const topicData = [{ name: this.target.topic, partitionData: [{ index, records: Buffer.from(records) }] }];
    const answer = await life.ask(0, 9, { transactionalId: null, acks: -1, timeoutMs: 1000, topicData });
    return answer.responses[0]?.partitionResponses[0] ?? { errorCode: -1, baseOffset: -1 };
  }
}

/** At least nobody's promise: what was not acknowledged is given up. */
export class PlainProducer extends Producer {
  async comeBack(): Promise<void> {}

  async once(life: Life): Promise<void> {
    const partition = this.below(this.partitions);
    const values = Array.from({ length: 1 + this.below(3) }, () => this.make(partition));
    const { errorCode, baseOffset } = await this.produce(life, partition, this.encode(values, life.clock.now(), {}));
    if (errorCode !== 0) throw new Error(`${this.name}: error ${errorCode}`);
    values.forEach((sent, i) => (sent.offset = baseOffset + i));
  }
}

interface InFlight {
  values: Sent[];
  records: Uint8Array;
}

/** Never gives up, never writes twice: batches in flight are sent again after a restart, in their order. */
export class IdempotentProducer extends Producer {
  private producerId = -1;
  private readonly sequences: number[] = [];
  private readonly inFlight: InFlight[][] = [];

  async comeBack(life: Life): Promise<void> {
    if (this.producerId < 0) {
      const answer = await life.ask(22, 4, { transactionalId: null, transactionTimeoutMs: 60_000 });
      this.producerId = answer.producerId;
    }
    for (let partition = 0; partition < this.partitions; partition++) {
      for (let first; (first = this.inFlight[partition]?.[0]); ) await this.send(life, partition, first);
    }
  }

  async once(life: Life): Promise<void> {
    const partition = this.below(this.partitions);
    const sends: Promise<void>[] = [];
    for (let batches = 1 + this.below(3); batches > 0; batches--) {
      const values = Array.from({ length: 1 + this.below(4) }, () => this.make(partition));
      const baseSequence = this.sequences[partition] ?? 0;
      this.sequences[partition] = baseSequence + values.length;
      const { producerId } = this;
      const records = this.encode(values, life.clock.now(), { producerId, producerEpoch: 0, baseSequence });
      const batch = { values, records };
      (this.inFlight[partition] ??= []).push(batch);
      sends.push(this.send(life, partition, batch));
      // An impatient client: both answers are about the same records.
      if (this.random.float() < 0.1) sends.push(this.send(life, partition, batch));
      // One that fails is heard of below.
      for (const send of sends) send.catch(() => {});
      await life.turns(this.below(3));
    }
    await Promise.all(sends);
  }

  private async send(life: Life, partition: number, batch: InFlight): Promise<void> {
    const { errorCode, baseOffset } = await this.produce(life, partition, batch.records);
    if (errorCode !== 0) throw new Error(`${this.name}: error ${errorCode}`);
    for (const [i, sent] of batch.values.entries()) {
      if (sent.offset !== null && sent.offset !== baseOffset + i) throw new Error(`${sent.value} acknowledged twice`);
      sent.offset = baseOffset + i;
    }
    this.inFlight[partition] = (this.inFlight[partition] ?? []).filter(other => other !== batch);
  }
}

/** Transactions over both partitions; aborts some of them itself. */
export class TransactionalProducer extends Producer {
  private readonly version: 1 | 2;
  private client: TransactionalClient | null = null;
  /** Who asked for the end that was not answered. */
  private ending: TransactionalClient | null = null;
  private last: Transaction | null = null;
  readonly transactions: Transaction[] = [];

  constructor(name: string, partitions: number, random: Random, version: 1 | 2, target = INPUT) {
    super(name, partitions, random, target);
    this.version = version;
  }

  async comeBack(life: Life): Promise<void> {
    const { last } = this;
    const client = new TransactionalClient(life, this.name);
    if (last?.outcome === 'unknown' && last.asked !== 'commit') last.outcome = 'aborted';
    if (last && this.ending && this.random.float() < 0.6) {
      client.take(this.ending.producerId, this.ending.producerEpoch);
      const errorCode = await client.end(last.asked === 'commit', { version: this.version === 2 ? 5 : 3 });
      // It may have timed out before the clock was set back.
      const isLate = TOO_LATE.includes(errorCode) && life.clock.latest - last.begun >= TIMEOUT_MS;
      if (errorCode !== 0 && !isLate) throw new Error(`${this.name}: the end asked again has error ${errorCode}`);
      last.outcome = last.asked === 'commit' && !isLate ? 'committed' : 'aborted';
    }
    this.ending = null;
    const errorCode = await client.init({ timeoutMs: TIMEOUT_MS });
    if (errorCode !== 0) throw new Error(`${this.name}: init has error ${errorCode}`);
    this.client = client;
  }

  async once(life: Life): Promise<void> {
    const { client, version } = this;
    if (!client) throw new Error('not back yet');
    const mine: Transaction = { values: [], begun: life.clock.now(), asked: null, outcome: 'unknown' };
    this.last = mine;
    this.transactions.push(mine);
    const partitions = Array.from({ length: this.partitions }, (_, i) => i).filter(() => this.random.float() < 0.7);
    if (partitions.length === 0) partitions.push(0);
    if (version === 1) this.allWell(...(await client.add(this.target.topic, ...partitions)));
    for (const partition of partitions) {
      for (let batches = 1 + this.below(2); batches > 0; batches--) {
        const values = Array.from({ length: 1 + this.below(3) }, () => this.make(partition, mine));
        mine.values.push(...values);
        const sending = client.sendBatch(
          this.target.topic,
          partition,
          values.length,
          options => this.encode(values, STANDING_CLOCK, options),
          { version: version === 2 ? 12 : 9 },
        );
        this.allWell(await sending);
        for (const [i, sent] of values.entries()) sent.offset = client.baseOffset + i;
      }
    }
    await life.turns(this.below(10));
    await life.unlessOver();
    mine.asked = this.random.float() < 0.65 ? 'commit' : 'abort';
    this.ending = client.copy();
    const ending = client.copy();
    this.allWell(await ending.end(mine.asked === 'commit', { version: version === 2 ? 5 : 3 }));
    this.ending = null;
    if (version === 2) client.take(ending.producerId, ending.producerEpoch);
    mine.outcome = mine.asked === 'commit' ? 'committed' : 'aborted';
  }

  private allWell(...codes: number[]): void {
    if (codes.some(code => code !== 0)) throw new Error(`${this.name}: errors ${codes.join()}`);
  }
}
