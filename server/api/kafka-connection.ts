import type { Socket } from 'node:net';
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

/** Reading stops above these and goes on below half of them. */
const MAX_UNSENT_BYTES = 8 * 1024 * 1024;
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
const MAX_WAITING_REQUESTS = 1000;

export interface KafkaConnectionOptions {
  broker: Broker;
  socket: Socket;
  maxRequestBytes: number;
  clock: Clock;
  logger: Logger;
  onClosed: () => void;
}

/** A place in the queue of answers. */
interface Slot {
  frameBytes: number;
  chunks: readonly Uint8Array[] | null;
  done: boolean;
}

/**
 * One client. Requests are handled as they come, several at a time; answers leave in the order of the requests. What
 * a client sends too fast, or does not fetch, stays in its own socket.
 */
export class KafkaConnection implements Connection {
  readonly clientHost: string;
  /** When (by the monotonic clock) the client last moved something that we wait for; null: we wait for nothing. */
  stalledSince: number | null;
  private readonly options: KafkaConnectionOptions;
  private readonly socket: Socket;
  private readonly frames: FrameReader;
  private readonly slots: Slot[] = [];
  private readonly closeListeners = new Set<() => void>();
  private waitingBytes = 0;
  private paused = false;
  private ended = false;
  private draining: (() => void) | null = null;

  constructor(options: KafkaConnectionOptions) {
    const { socket, maxRequestBytes, clock } = options;
    this.options = options;
    this.socket = socket;
    this.clientHost = `/${socket.remoteAddress ?? 'unknown'}`;
    this.frames = new FrameReader(maxRequestBytes, frame => this.request(frame));
    // Until the first request has come whole.
    this.stalledSince = clock.monotonic();
    socket.setNoDelay(true);
    socket.setKeepAlive(true);
    socket.on('data', (chunk: Buffer) => this.received(chunk));
    socket.on('drain', () => this.flush());
    socket.on('error', error => options.logger.debug('a connection failed', { client: this.clientHost, error }));
    socket.on('end', () => this.end());
    socket.on('close', () => this.closed());
  }

  onClose(listener: () => void): () => void {
    this.closeListeners.add(listener);
    return () => this.closeListeners.delete(listener);
  }

  /** Answers what is under way, then closes. Requests that wait for something new are given up. */
  drain(): Promise<void> {
    if (this.socket.destroyed) return Promise.resolve();
    this.ended = true;
    this.socket.pause();
    this.tellGone();
    return new Promise(resolve => {
      this.draining = resolve;
      this.flush();
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
    this.progress();
    this.flush();
  }

  /** Notes that the client moved; while it owes us nothing it may be silent for as long as it likes. */
  private progress(): void {
    const owes = !this.frames.idle || this.socket.writableLength > 0;
    this.stalledSince = owes ? this.options.clock.monotonic() : null;
  }

  private request(frame: Buffer): void {
    if (this.ended) return;
    let decoded: ReturnType<typeof decodeRequest>;
    try {
      decoded = decodeRequest(frame);
    } catch (error) {
      this.refuse(asMillstreamError(error).message);
      return;
    }
    if (!decoded.supported) {
      const { apiKey, apiVersion, correlationId } = decoded;
      if (apiKey !== ApiKey.ApiVersions) {
        this.refuse(`api key ${apiKey} in version ${apiVersion} is not served`);
        return;
      }
      this.slots.push({ frameBytes: 0, chunks: unsupportedApiVersions(correlationId), done: true });
      return;
    }
    const slot: Slot = { frameBytes: frame.length, chunks: null, done: false };
    this.slots.push(slot);
    this.waitingBytes += frame.length;
    this.handle(decoded, slot);
  }

  private handle(request: SupportedRequest, slot: Slot): void {
    const { broker } = this.options;
    try {
      const answer = broker.handle(request, this);
      if (!(answer instanceof Promise)) {
        this.settle(request, slot, answer);
        return;
      }
      answer.then(
        body => {
          this.settle(request, slot, body);
          this.flush();
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
      slot.chunks = body && encodeResponse(apiKey, apiVersion, correlationId, body as ResponseInput<typeof apiKey>);
      slot.done = true;
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
    if (socket.destroyed) return;
    if (slots[0]?.done && socket.writableLength < MAX_UNSENT_BYTES) {
      socket.cork();
      while (slots[0]?.done && socket.writableLength < MAX_UNSENT_BYTES) {
        const slot = slots.shift() as Slot;
        this.waitingBytes -= slot.frameBytes;
        for (const chunk of slot.chunks ?? []) socket.write(chunk);
      }
      socket.uncork();
    }
    this.progress();
    this.throttle();
    if (this.ended && slots.length === 0) socket.end();
  }

  private throttle(): void {
    if (this.ended) return;
    const { socket, slots, waitingBytes } = this;
    const part = this.paused ? 0.5 : 1;
    const busy =
      socket.writableLength >= MAX_UNSENT_BYTES * part ||
      waitingBytes >= MAX_WAITING_BYTES * part ||
      slots.length >= MAX_WAITING_REQUESTS * part;
    if (busy === this.paused) return;
    this.paused = busy;
    if (busy) socket.pause();
    else socket.resume();
  }

  /** The client will send no more; it still gets its answers. */
  private end(): void {
    this.ended = true;
    this.tellGone();
    this.flush();
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
    this.tellGone();
    this.options.onClosed();
    this.draining?.();
  }

  private tellGone(): void {
    const listeners = [...this.closeListeners];
    this.closeListeners.clear();
    for (const listener of listeners) listener();
  }
}
