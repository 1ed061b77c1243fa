/**
 * A small Kafka client for tests, by hand and independent of core: it pipelines, chooses sequences and versions, and
 * shows every error code. Only versions from before the flexible ones (KIP-482).
 * Frame: i32 size · i16 api key · i16 version · i32 correlation id · i16 client id length, client id · body.
 */
import { connect, type Socket } from 'node:net';

export interface PartitionResult {
  /** Kafka's error code; 0 = none. */
  error: number;
  /** Base offset of the batch (Produce), or the offset found (ListOffsets). */
  offset: number;
}

export interface FetchResult {
  error: number;
  highWatermark: number;
  logStart: number;
  /** Whole batches, as they came. */
  records: Buffer;
  /** Transactions in these batches that were aborted (only with `committed`). */
  aborted: { producerId: bigint; firstOffset: number }[];
}

/** Reads the fields of an answer one after the other. */
class Fields {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  i8(): number {
    return this.bytes.readInt8(this.#step(1));
  }
  i16(): number {
    return this.bytes.readInt16BE(this.#step(2));
  }
  i32(): number {
    return this.bytes.readInt32BE(this.#step(4));
  }
  i64(): bigint {
    return this.bytes.readBigInt64BE(this.#step(8));
  }
  string(): string {
    const length = this.i16();
    return length < 0 ? '' : this.bytes.toString('utf8', this.#step(length), this.at);
  }
  data(): Buffer {
    const length = this.i32();
    return length < 0 ? Buffer.alloc(0) : this.bytes.subarray(this.#step(length), this.at);
  }
  #step(size: number): number {
    this.at += size;
    return this.at - size;
  }
}

export const i8 = (value: number): Buffer => Buffer.from([value & 0xff]);
export const i16 = (value: number): Buffer => {
  const out = Buffer.alloc(2);
  out.writeInt16BE(value);
  return out;
};
export const i32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeInt32BE(value);
  return out;
};
export const i64 = (value: bigint): Buffer => {
  const out = Buffer.alloc(8);
  out.writeBigInt64BE(value);
  return out;
};
export const string = (text: string): Buffer => Buffer.concat([i16(Buffer.byteLength(text)), Buffer.from(text)]);
const NULL_STRING = i16(-1);

export class Wire {
  readonly #socket: Socket;
  readonly #waiting: { resolve(answer: Buffer): void; reject(error: Error): void }[] = [];
  #received: Buffer[] = [];
  #size = 0;
  #correlation = 0;
  #failed: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', chunk => this.#onData(chunk));
    socket.on('error', error => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  static async connect(bootstrap: string): Promise<Wire> {
    const [host = '', port] = bootstrap.split(':');
    const socket = connect(Number(port), host);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new Wire(socket);
  }

  /** Sends one request and gives the body of its answer. Several may be on their way; answers come in order. */
  request(key: number, version: number, ...body: Buffer[]): Promise<Buffer> {
    if (this.#failed !== undefined) return Promise.reject(this.#failed);
    const content = Buffer.concat([i16(key), i16(version), i32(this.#correlation++), string('wire'), ...body]);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.write(i32(content.length));
      this.#socket.write(content);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    this.#received.push(chunk);
    this.#size += chunk.length;
    for (;;) {
      if (this.#size < 4) return;
      if ((this.#received[0]?.length ?? 0) < 4) this.#received = [Buffer.concat(this.#received)];
      const need = 4 + (this.#received[0] as Buffer).readInt32BE(0);
      if (this.#size < need) return;
      const all = this.#received.length === 1 ? (this.#received[0] as Buffer) : Buffer.concat(this.#received);
      this.#received = all.length > need ? [all.subarray(need)] : [];
      this.#size = all.length - need;
      this.#waiting.shift()?.resolve(all.subarray(8, need));
    }
  }

  #fail(error: Error): void {
    this.#failed ??= error;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#failed);
  }

  /** ApiVersions 0: which versions of which API the server offers. */
  async apiVersions(): Promise<{ key: number; min: number; max: number }[]> {
    const f = new Fields(await this.request(18, 0));
    const error = f.i16();
    if (error !== 0) throw new Error(`ApiVersions: error ${error}`);
    return Array.from({ length: f.i32() }, () => ({ key: f.i16(), min: f.i16(), max: f.i16() }));
  }

  /** InitProducerId 0 without a transactional id. */
  async initProducerId(): Promise<{ producerId: bigint; producerEpoch: number; error: number }> {
    const f = new Fields(await this.request(22, 0, NULL_STRING, i32(60_000)));
    f.i32();
    const error = f.i16();
    return { error, producerId: f.i64(), producerEpoch: f.i16() };
  }

  /** Produce 7 of one batch (or several, joined) to one partition. */
  async produce(topic: string, partition: number, records: Buffer, acks = -1): Promise<PartitionResult> {
    const f = new Fields(
      await this.request(
        0,
        7,
        NULL_STRING,
        i16(acks),
        i32(30_000),
        i32(1),
        string(topic),
        i32(1),
        i32(partition),
        i32(records.length),
        records,
      ),
    );
    f.i32();
    f.string();
    f.i32();
    f.i32();
    return { error: f.i16(), offset: Number(f.i64()) };
  }

  /** Fetch 11 of one partition, without a fetch session. */
  async fetch(
    topic: string,
    partition: number,
    offset: number,
    options: { maxBytes?: number; minBytes?: number; maxWaitMs?: number; committed?: boolean } = {},
  ): Promise<FetchResult> {
    const maxBytes = i32(options.maxBytes ?? 10_000_000);
    const f = new Fields(
      await this.request(
        1,
        11,
        i32(-1),
        i32(options.maxWaitMs ?? 0),
        i32(options.minBytes ?? 0),
        maxBytes,
        // Isolation level.
        i8(options.committed ? 1 : 0),
        i32(0),
        i32(-1),
        i32(1),
        string(topic),
        i32(1),
        i32(partition),
        i32(-1),
        i64(BigInt(offset)),
        i64(-1n),
        maxBytes,
        i32(0),
        string(''),
      ),
    );
    f.i32();
    const topError = f.i16();
    f.i32();
    if (topError !== 0 || f.i32() === 0)
      return { error: topError, highWatermark: -1, logStart: -1, records: Buffer.alloc(0), aborted: [] };
    f.string();
    f.i32();
    f.i32();
    const error = f.i16();
    const highWatermark = Number(f.i64());
    f.i64();
    const logStart = Number(f.i64());
    const aborted = Array.from({ length: Math.max(0, f.i32()) }, () => ({
      producerId: f.i64(),
      firstOffset: Number(f.i64()),
    }));
    f.i32();
    return { error, highWatermark, logStart, records: f.data(), aborted };
  }

  /** ListOffsets 1. Time -1 = the end, -2 = the start, else the first record at or after that time. */
  async listOffset(topic: string, partition: number, time: number): Promise<PartitionResult & { timestamp: number }> {
    const f = new Fields(
      await this.request(2, 1, i32(-1), i32(1), string(topic), i32(1), i32(partition), i64(BigInt(time))),
    );
    f.i32();
    f.string();
    f.i32();
    f.i32();
    const error = f.i16();
    return { error, timestamp: Number(f.i64()), offset: Number(f.i64()) };
  }

  /** ListOffsets 2: where reading ends for read_committed (the last stable offset) or for everyone (the high watermark). */
  async endOffset(topic: string, partition: number, isolation: 'committed' | 'uncommitted'): Promise<number> {
    const level = i8(isolation === 'committed' ? 1 : 0);
    const one = [string(topic), i32(1), i32(partition), i64(-1n)];
    const f = new Fields(await this.request(2, 2, i32(-1), level, i32(1), ...one));
    f.i32();
    f.i32();
    f.string();
    f.i32();
    f.i32();
    const error = f.i16();
    if (error !== 0) throw new Error(`ListOffsets of ${topic}-${partition}: error ${error}`);
    f.i64();
    return Number(f.i64());
  }

  /** CreateTopics 2 of one topic; gives the error code (36 = it exists). */
  async createTopic(topic: string, partitions: number): Promise<number> {
    const f = new Fields(
      await this.request(19, 2, i32(1), string(topic), i32(partitions), i16(1), i32(0), i32(0), i32(30_000), i8(0)),
    );
    f.i32();
    f.i32();
    f.string();
    return f.i16();
  }

  /** OffsetCommit 2 of one partition for a group without members; gives the error code. */
  async commitOffset(group: string, topic: string, partition: number, offset: number, metadata = ''): Promise<number> {
    const one = [string(topic), i32(1), i32(partition), i64(BigInt(offset)), string(metadata)];
    const f = new Fields(await this.request(8, 2, string(group), i32(-1), string(''), i64(-1n), i32(1), ...one));
    f.i32();
    f.string();
    f.i32();
    f.i32();
    return f.i16();
  }

  /** FindCoordinator 0; Apache Kafka creates its internal topic at the first one. */
  async findCoordinator(group: string): Promise<number> {
    return new Fields(await this.request(10, 0, string(group))).i16();
  }

  /** OffsetFetch 1 of one partition: the committed offset, -1 = none. */
  async fetchOffset(
    group: string,
    topic: string,
    partition: number,
  ): Promise<{ error: number; offset: number; metadata: string }> {
    const f = new Fields(await this.request(9, 1, string(group), i32(1), string(topic), i32(1), i32(partition)));
    f.i32();
    f.string();
    f.i32();
    f.i32();
    const offset = Number(f.i64());
    const metadata = f.string();
    return { error: f.i16(), offset, metadata };
  }
}
