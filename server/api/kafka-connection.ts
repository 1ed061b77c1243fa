import type { Socket } from 'node:net';
import { Bag } from '../../core/base/bag.ts';
import type { Clock } from '../../core/base/clock.ts';
import { asMillstreamError } from '../../core/base/errors.ts';
import type { Logger } from '../../core/base/logger.ts';
import type { Broker } from '../../core/broker/broker.ts';
import type { Connection } from '../../core/broker/request.ts';
import {
  apiNameOf,
  ApiKey,
  decodeRequest,
  encodeResponse,
  type ResponseInput,
  type SupportedRequest,
  unsupportedApiVersions,
} from '../../core/protocol/api.ts';
import { FrameError, FrameReader } from './kafka-frames.ts';
import { readFrom } from './kafka-socket.ts';

/** Above these no further request is looked at, and reading stops. */
const MAX_UNSENT_BYTES = 8 * 1024 * 1024;
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
const MAX_WAITING_REQUESTS = 1000;

export interface KafkaConnectionOptions {
  broker: Broker;
  /** Accepted and paused. */
  accepted: Socket;
  maxRequestBytes: number;
  clock: Clock;
  logger: Logger;
  onClosed: () => void;
}

/** A place in the queue of answers. */
interface Slot {
  frameBytes: number;
  chunks: readonly Uint8Array[];
  chunkBytes: number;
  whenSent: (() => void)[];
  done: boolean;
}

/**
 * One client. Requests are handled as they come, several at a time but one fetch; answers leave in the order of the
 * requests. What a client sends too fast, or does not take, stays in its own socket.
 */
export class KafkaConnection implements Connection {
  readonly clientHost: string;
  /** When (by the monotonic clock) the client last moved something that we wait for; null: we wait for nothing. */
  stalledSince: number | null;
  private readonly options: KafkaConnectionOptions;
  private readonly socket: Socket;
  private readonly frames: FrameReader;
  /** Frames that came while there was too much to do. */
  private readonly backlog: Buffer[] = [];
  private readonly slots: Slot[] = [];
  private readonly closeListeners = new Bag<() => void>();
  private waitingBytes = 0;
  /** Answers that are ready behind one that is not. */
  private readyBytes = 0;
  private fetching = false;
  private handling = false;
  /** We look at nothing more. */
  private ended = false;
  /** The client sends nothing more. */
  private inputEnded = false;
  private gone = false;
  private draining: (() => void) | null = null;

  constructor(options: KafkaConnectionOptions) {
    const { accepted, maxRequestBytes, clock } = options;
    this.options = options;
    const socket = readFrom(accepted, chunk => this.received(chunk));
    this.socket = socket;
    this.clientHost = `/${socket.remoteAddress ?? 'unknown'}`;
    this.frames = new FrameReader(maxRequestBytes, frame => this.backlog.push(frame));
    // Until the first request has come whole.
    this.stalledSince = clock.monotonic();
    socket.setNoDelay(true);
    socket.setKeepAlive(true);
    socket.on('drain', () => this.work());
    socket.on('error', error => options.logger.debug('a connection failed', { client: this.clientHost, error }));
    socket.on('end', () => this.end());
    socket.on('close', () => this.closed());
  }

  onClose(listener: () => void): () => void {
    if (this.gone) queueMicrotask(listener);
    return this.closeListeners.add(listener);
  }

  /** Answers what is under way, then closes. Requests that wait for something new are given up. */
  drain(): Promise<void> {
    if (this.socket.destroyed) return Promise.resolve();
    this.ended = true;
    this.tellGone();
    // What still comes is read and dropped, so that the client's end is seen.
    this.socket.resume();
    return new Promise(resolve => {
      this.draining = resolve;
      this.work();
    });
  }

  destroy(why: string): void {
    this.options.logger.debug('a connection is closed', { client: this.clientHost, why });
    this.socket.destroy();
  }

  private received(chunk: Buffer): void {
    if (this.ended) return;
    try {
      this.frames.push(chunk);
    } catch (error) {
      if (error instanceof FrameError) this.refuse(error.message);
      else this.fail('a request could not be handled', error);
      return;
    }
    this.work();
  }

  /** Handles what may be handled and sends what may be sent. */
  private work(): void {
    // Answers that are ready at once come back here from within.
    if (this.handling) return;
    this.handling = true;
    for (let frame = this.backlog[0]; frame && this.mayHandle(frame); frame = this.backlog[0]) {
      this.backlog.shift();
      this.request(frame);
    }
    this.handling = false;
    this.flush();
    this.progress();
    if (this.ended || (this.inputEnded && this.backlog.length === 0)) {
      if (this.slots.length === 0) this.socket.end();
    } else if (this.backlog.length > 0) {
      // What was sent just now may have made room.
      if (this.backlog[0] && this.mayHandle(this.backlog[0])) setImmediate(() => this.work());
      this.socket.pause();
    } else if (this.socket.isPaused()) {
      this.socket.resume();
    }
  }

  private mayHandle(frame: Buffer): boolean {
    if (this.ended) return false;
    if (this.fetching && frame.length >= 2 && frame.readInt16BE(0) === ApiKey.Fetch) return false;
    return (
      this.socket.writableLength + this.readyBytes < MAX_UNSENT_BYTES &&
      this.waitingBytes < MAX_WAITING_BYTES &&
      this.slots.length < MAX_WAITING_REQUESTS
    );
  }

  /** Notes that the client moved; while it owes us nothing it may be silent for as long as it likes. */
  private progress(): void {
    const owes = !this.frames.idle || this.socket.writableLength > 0;
    this.stalledSince = owes ? this.options.clock.monotonic() : null;
  }

  private request(frame: Buffer): void {
    let decoded: ReturnType<typeof decodeRequest>;
    try {
      decoded = decodeRequest(frame);
    } catch (error) {
      this.refuse(asMillstreamError(error).message);
      return;
    }
    const slot: Slot = { frameBytes: frame.length, chunks: [], chunkBytes: 0, whenSent: [], done: false };
    if (!decoded.supported) {
      const { apiKey, apiVersion, correlationId } = decoded;
      if (apiKey !== ApiKey.ApiVersions) {
        this.refuse(`api key ${apiKey} in version ${apiVersion} is not served`);
        return;
      }
      this.take(slot);
      this.ready(slot, unsupportedApiVersions(correlationId));
      return;
    }
    this.take(slot);
    this.handle(decoded, slot);
  }

  private take(slot: Slot): void {
    this.slots.push(slot);
    this.waitingBytes += slot.frameBytes;
  }

  private ready(slot: Slot, chunks: readonly Uint8Array[]): void {
    slot.chunks = chunks;
    for (const chunk of chunks) slot.chunkBytes += chunk.length;
    this.readyBytes += slot.chunkBytes;
    slot.done = true;
  }

  private handle(request: SupportedRequest, slot: Slot): void {
    const isFetch = request.apiKey === ApiKey.Fetch;
    try {
      const answer = this.options.broker.handle(request, this, slot.whenSent);
      if (!(answer instanceof Promise)) {
        this.settle(request, slot, answer);
        return;
      }
      if (isFetch) this.fetching = true;
      answer.then(
        body => {
          if (isFetch) this.fetching = false;
          this.settle(request, slot, body);
          this.work();
        },
        (error: unknown) => this.handlerFailed(request, error),
      );
    } catch (error) {
      this.handlerFailed(request, error);
    }
  }

  private settle(request: SupportedRequest, slot: Slot, body: Readonly<Record<string, unknown>> | null): void {
    if (this.socket.destroyed) return;
    try {
      const { apiKey, apiVersion, correlationId } = request;
      const input = body as ResponseInput<typeof apiKey> | null;
      this.ready(slot, input ? encodeResponse(apiKey, apiVersion, correlationId, input) : []);
    } catch (error) {
      this.handlerFailed(request, error);
    }
  }

  private handlerFailed({ apiKey, apiVersion }: SupportedRequest, error: unknown): void {
    this.fail(`${apiNameOf(apiKey) ?? apiKey} version ${apiVersion} failed`, error);
  }

  /** Sends what is at the head of the queue and ready, as one write. */
  private flush(): void {
    const { socket, slots } = this;
    if (socket.destroyed || !slots[0]?.done || socket.writableLength >= MAX_UNSENT_BYTES) return;
    socket.cork();
    for (let slot = slots[0]; slot?.done && socket.writableLength < MAX_UNSENT_BYTES; slot = slots[0]) {
      slots.shift();
      this.waitingBytes -= slot.frameBytes;
      this.readyBytes -= slot.chunkBytes;
      this.send(slot);
    }
    socket.uncork();
  }

  private send({ chunks, whenSent }: Slot): void {
    const last = chunks.length - 1;
    chunks.forEach((chunk, i) => {
      if (i < last || whenSent.length === 0) this.socket.write(chunk);
      else this.socket.write(chunk, () => whenSent.forEach(done => done()));
    });
  }

  /** The client will send no more; it still gets its answers. */
  private end(): void {
    this.inputEnded = true;
    this.tellGone();
    this.work();
  }

  private refuse(why: string): void {
    this.options.logger.warn('a connection is closed because of what it sent', { client: this.clientHost, why });
    this.socket.destroy();
  }

  private fail(what: string, error: unknown): void {
    this.options.logger.error(what, { client: this.clientHost, error });
    this.socket.destroy();
  }

  private closed(): void {
    this.ended = true;
    this.stalledSince = null;
    this.slots.length = 0;
    this.backlog.length = 0;
    this.tellGone();
    this.options.onClosed();
    this.draining?.();
  }

  private tellGone(): void {
    this.gone = true;
    for (const listener of this.closeListeners.take()) listener();
  }
}
