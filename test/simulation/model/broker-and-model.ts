import { type Random, seededRandom } from '../../../core/base/random.ts';
import { type BatchOptions, encodeBatch } from '../../../core/log/record.ts';
import { type Fate, FaultDisk } from '../../core/log/fault-disk.ts';
import { JumpingClock } from '../clock.ts';
import { Life } from '../life.ts';
import { LogModel, type Write } from './log-model.ts';
import { type Position, TransactionModel } from './transaction-model.ts';

export const PARTITIONS = 2;
export const GROUP = 'group';
export const TIMEOUT_MS = 60_000;
const FATES: Fate[] = ['lost', 'some', 'kept'];

export interface Idempotent {
  producerId: number;
  next: Map<string, number>;
}

/** A producer as its program knows it: of an epoch that others may have ended. */
export interface Client {
  id: string;
  epoch: number;
  next: Map<string, number>;
  last: { key: string; write: Write } | null;
}

/** The two that are compared, and what both share: time, chance, restarts. */
export class BrokerAndModel {
  readonly story: string[] = [];
  /** How often each operation was answered with success and otherwise. */
  readonly counts = new Map<string, [well: number, refused: number]>();
  protected readonly random: Random;
  protected readonly topics = new Map<string, LogModel[]>();
  protected readonly transactions = new Map<string, TransactionModel>();
  protected readonly clients: Client[] = [];
  protected readonly positions = new Map<string, Position>();
  protected readonly producer: Idempotent = { producerId: -1, next: new Map() };
  protected disk: FaultDisk;
  protected clock = new JumpingClock();
  protected life!: Life;
  protected failure: Error | null = null;
  protected count = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.disk = new FaultDisk(this.random);
  }

  protected async start(): Promise<void> {
    this.life = new Life({
      disk: this.disk,
      clock: this.clock,
      random: this.random,
      segmentBytes: this.pick([300, 2_000, 20_000]),
      cacheBytes: this.pick([0, 1e6]),
      recoveryBytes: this.pick([1_000, 20_000]),
      preallocateBytes: 0,
      journalBytes: this.pick([1_000, 20_000]),
      retentionBytes: -1,
      retentionFloor: () => Infinity,
      seams: {},
      onError: error => (this.failure ??= error),
    });
    await this.life.start();
  }

  protected async restart(how: 'close' | 'kill' | 'cut'): Promise<string> {
    if (how === 'close') await this.life.close();
    this.life.isOver = true;
    this.disk = how === 'cut' ? this.disk.cut({ names: this.pick(FATES), data: this.pick(FATES) }) : this.disk.kill();
    this.clock = this.clock.next();
    await this.start();
    return how;
  }

  protected logOf(topic: string, partition: number): LogModel | undefined {
    return this.topics.get(topic)?.[partition];
  }

  protected values(): string[] {
    return Array.from({ length: 1 + this.below(3) }, () => `v${this.count++}`);
  }

  protected same(what: string, found: unknown, expected: unknown): void {
    if (found !== expected) throw new Error(`${what}: the broker says ${String(found)}, the model ${String(expected)}`);
  }

  protected pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  protected positionOf(offset: number): Position {
    return { offset, writtenAs: this.count++ };
  }

  protected below(limit: number): number {
    return Math.floor(this.random.float() * limit);
  }

  protected async produce(
    topic: string,
    index: number,
    write: Write,
    transactionalId: string | null,
    version: number,
    admit: () => number,
  ): Promise<string> {
    const { producerId, epoch: producerEpoch, sequence: baseSequence, isTransactional, values } = write;
    const options: BatchOptions =
      producerId < 0 ? {} : { producerId, producerEpoch, baseSequence, attributes: isTransactional ? 0x10 : 0 };
    const timestamp = this.clock.now();
    const records = encodeBatch(
      values.map(value => ({ timestamp, key: null, value: Buffer.from(value) })),
      options,
    );
    const topicData = [{ name: topic, partitionData: [{ index, records }] }];
    const asked = { transactionalId, acks: -1, timeoutMs: 1000, topicData };
    const answer = (await this.life.ask(0, version, asked)).responses[0]?.partitionResponses[0];
    const expected = this.logOf(topic, index)?.produce(write, admit) ?? { errorCode: 3, offset: -1 };
    this.same(`${topic}-${index}`, answer?.errorCode, expected.errorCode);
    this.same(`${topic}-${index}`, answer?.baseOffset, expected.offset);
    return `${topic}-${index}, sequence ${baseSequence}, ${values.length} at ${expected.offset}, error ${expected.errorCode}`;
  }
}
