import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '../base/clock.ts';
import { asMillstreamError, type MillstreamError } from '../base/errors.ts';
import type { Network } from '../base/network.ts';
import {
  ApiKey,
  apiNameOf,
  correlationIdOf,
  decodeResponse,
  encodeRequest,
  type RequestInput,
  type ResponseBody,
} from '../protocol/api.ts';
import { apiOf } from '../protocol/api-table.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import type { Random } from '../base/random.ts';
import { BrokerError, refuse, unreachable } from './broker-error.ts';
import { connectError } from './connect-error.ts';
import { FrameSplitter } from './frame-splitter.ts';
import { authenticate, type SaslOptions } from './sasl.ts';

export interface ConnectionOptions {
  host: string;
  port: number;
  clientId: string;
  network: Network;
  clock: Clock;
  random: Random;
  sasl: SaslOptions | null;
  connectTimeoutMs: number;
  /** How long an answer may take beyond what the request itself allows the broker to wait. */
  requestTimeoutMs: number;
}

export interface SendOptions {
  /** Time that the broker may take on purpose (long poll, rebalance); added to the request timeout. */
  waitMs?: number;
  /** Up to this version, for who can make use of one above those below. */
  newest?: number;
}

/**
 * Versions above these name topics by id only, where this client speaks of names; or they begin KIP-890's second
 * transaction protocol, in which every transaction has an epoch of its own.
 */
const NEWEST_USED: Partial<Record<ApiKey, number>> = {
  [ApiKey.Produce]: 11,
  [ApiKey.Fetch]: 12,
  [ApiKey.OffsetCommit]: 9,
  [ApiKey.OffsetFetch]: 9,
  [ApiKey.InitProducerId]: 5,
  // From 4 on between brokers only.
  [ApiKey.AddPartitionsToTxn]: 3,
  [ApiKey.TxnOffsetCommit]: 4,
  [ApiKey.EndTxn]: 4,
};

interface Waiting {
  correlationId: number;
  apiKey: ApiKey;
  version: number;
  timer: Timer;
  resolve(body: unknown): void;
  reject(error: MillstreamError): void;
}

/**
 * One connection to one broker. Requests are pipelined; the broker answers in their order, so a long poll holds up what
 * is sent behind it. A request that is not answered in time breaks the connection: nothing behind it could be told apart.
 */
export class Connection {
  readonly address: string;
  private readonly stream: Duplex;
  private readonly options: ConnectionOptions;
  private readonly splitter = new FrameSplitter();
  private readonly waiting: Waiting[] = [];
  private versions: ReadonlyMap<number, readonly [min: number, max: number]> = new Map();
  private nextCorrelationId = 1;
  private broken: MillstreamError | null = null;
  private answered = 0;
  private isRetired = false;
  /** Monotonic time from which nothing new is sent: the broker would close the connection soon after. */
  private retireAt = Number.POSITIVE_INFINITY;

  private constructor(stream: Duplex, options: ConnectionOptions) {
    this.stream = stream;
    this.options = options;
    this.address = `${options.host}:${options.port}`;
    stream.on('data', (piece: Buffer) => this.receive(piece));
    stream.on('error', error => this.break(unreachable(`the connection to ${this.address} broke`, error)));
    stream.on('close', () => this.break(unreachable(`${this.address} closed the connection`, undefined, this.help())));
  }

  /** Connects, asks which versions the broker speaks and authenticates. Kind `unavailable`: UNREACHABLE, AUTH_FAILED, TLS_*. */
  static async open(options: ConnectionOptions): Promise<Connection> {
    const abort = new AbortController();
    const { host, port, connectTimeoutMs: limit } = options;
    const timer = options.clock.setTimer(limit, () => abort.abort(new Error(`no connection within ${limit} ms`)));
    let stream: Duplex;
    try {
      stream = await options.network.connect(host, port, abort.signal);
    } catch (error) {
      throw connectError(`${host}:${port}`, error);
    } finally {
      timer.cancel();
    }
    const connection = new Connection(stream, options);
    try {
      await connection.negotiate();
      await connection.authenticate();
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  /** False once it is broken or closed, or its authentication ends soon: open another. */
  get usable(): boolean {
    return this.broken === null && this.options.clock.monotonic() < this.retireAt;
  }

  get isOver(): boolean {
    return this.broken !== null;
  }

  /** Ends the connection when what is under way has been answered. */
  retire(): void {
    this.isRetired = true;
    if (this.waiting.length === 0) this.close();
  }

  /** The newest version of the API that both sides speak. Throws BrokerError UNSUPPORTED_VERSION when there is none. */
  versionOf(apiKey: ApiKey, upTo?: number): number {
    const name = apiNameOf(apiKey) ?? String(apiKey);
    const theirs = this.versions.get(apiKey);
    const [oldest, newest] = ownVersions(apiKey, upTo);
    const version = Math.min(newest, theirs?.[1] ?? -1);
    if (!theirs || version < theirs[0] || version < oldest) {
      throw new BrokerError(ErrorCode.UNSUPPORTED_VERSION, `${name} at ${this.address}`);
    }
    return version;
  }

  /** Sends a request and resolves with the body of its answer, whatever error codes that holds. */
  send<K extends ApiKey>(apiKey: K, body: RequestInput<K>, options: SendOptions = {}): Promise<ResponseBody<K>> {
    try {
      return this.sendAs(apiKey, this.versionOf(apiKey, options.newest), body, options);
    } catch (error) {
      return Promise.reject(asMillstreamError(error));
    }
  }

  /** Ends the connection; requests under way are rejected. */
  close(): void {
    this.break(unreachable(`the connection to ${this.address} was closed`));
  }

  /** A listener that wants more than it gets just hangs up. */
  private help(): { help?: string } {
    if (this.answered > 1 || this.options.sasl) return {};
    return { help: 'Does this listener want TLS or authentication (SASL)?' };
  }

  private async authenticate(): Promise<void> {
    const { sasl, random, clock } = this.options;
    if (!sasl) return;
    const lifetimeMs = await authenticate(this, sasl, random);
    // Early enough for what is under way then, and not all connections at one time.
    if (lifetimeMs > 0) this.retireAt = clock.monotonic() + lifetimeMs * (0.8 + random.float() / 10);
  }

  private async negotiate(): Promise<void> {
    const software = { clientSoftwareName: 'millstream', clientSoftwareVersion: '0' };
    const ask = (version: number): Promise<ResponseBody<typeof ApiKey.ApiVersions>> =>
      this.sendAs(ApiKey.ApiVersions, version, software, {});
    const newest = ownVersions(ApiKey.ApiVersions)[1];
    let answer = await ask(newest);
    if (answer.errorCode === ErrorCode.UNSUPPORTED_VERSION) {
      const theirs = answer.apiKeys.find(one => one.apiKey === ApiKey.ApiVersions);
      answer = await ask(Math.min(theirs?.maxVersion ?? 0, newest));
    }
    refuse(answer.errorCode, `version negotiation with ${this.address}`);
    this.versions = new Map(answer.apiKeys.map(one => [one.apiKey, [one.minVersion, one.maxVersion]]));
  }

  private sendAs<K extends ApiKey>(
    apiKey: K,
    version: number,
    body: RequestInput<K>,
    { waitMs = 0 }: SendOptions,
  ): Promise<ResponseBody<K>> {
    if (this.broken) return Promise.reject(this.broken);
    const correlationId = this.nextCorrelationId++ & 0x7fffffff;
    const chunks = encodeRequest(apiKey, version, correlationId, this.options.clientId, body);
    const limitMs = this.options.requestTimeoutMs + waitMs;
    return new Promise<ResponseBody<K>>((resolve, reject) => {
      const timer = this.options.clock.setTimer(limitMs, () => {
        this.break(unreachable(`${this.address} did not answer ${apiNameOf(apiKey)} within ${limitMs} ms`));
      });
      this.waiting.push({ correlationId, apiKey, version, timer, resolve, reject });
      this.stream.cork();
      for (const chunk of chunks) this.stream.write(chunk);
      this.stream.uncork();
    });
  }

  private receive(piece: Buffer): void {
    try {
      for (const frame of this.splitter.push(piece)) this.answer(frame);
    } catch (error) {
      this.break(asMillstreamError(error));
    }
  }

  private answer(frame: Buffer): void {
    const request = this.waiting.shift();
    if (!request || correlationIdOf(frame) !== request.correlationId) {
      if (request) this.waiting.unshift(request);
      return this.break(unreachable(`${this.address} answered out of order`));
    }
    request.timer.cancel();
    this.answered++;
    try {
      request.resolve(decodeResponse(request.apiKey, request.version, frame).body);
    } catch (error) {
      request.reject(unreachable(`${this.address} sent an unreadable ${apiNameOf(request.apiKey)} answer`, error));
    }
    if (this.isRetired && this.waiting.length === 0) this.close();
  }

  private break(error: MillstreamError): void {
    if (this.broken) return;
    this.broken = error;
    this.stream.destroy();
    for (const request of this.waiting.splice(0)) {
      request.timer.cancel();
      request.reject(error);
    }
  }
}

function ownVersions(apiKey: ApiKey, upTo = NEWEST_USED[apiKey]): readonly [oldest: number, newest: number] {
  const [oldest, newest] = apiOf(apiKey)?.request.versions ?? [0, -1];
  return [oldest, Math.min(newest, upTo ?? newest)];
}
