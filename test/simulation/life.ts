import type { LogFields, Logger } from '../../core/base/logger.ts';
import { Metrics } from '../../core/base/metrics.ts';
import type { Random } from '../../core/base/random.ts';
import { Broker } from '../../core/broker/broker.ts';
import { DEFAULT_BROKER_CONFIG } from '../../core/broker/config.ts';
import type { EngineHost } from '../../core/engine/host.ts';
import { EmbeddedEngine } from '../../core/engine/embedded.ts';
import { openLocalLogStore } from '../../core/log/local-log-store.ts';
import type { LogStore } from '../../core/log/log.ts';
import {
  type ApiKey,
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  type RequestInput,
  type ResponseBody,
  type ResponseInput,
} from '../../core/protocol/api.ts';
import type { FaultDisk } from '../core/log/fault-disk.ts';
import type { JumpingClock } from './clock.ts';

/** So many turns of the event loop. */
export async function turns(count: number): Promise<void> {
  for (; count > 0; count--) await new Promise(resolve => setImmediate(resolve));
}

/** Where a defect may be put in, for the proof that the suite would find it. */
export interface Seams {
  wrapStore?: (store: LogStore) => LogStore;
  wrapHost?: (host: EngineHost) => EngineHost;
}

export interface LifeOptions {
  disk: FaultDisk;
  clock: JumpingClock;
  random: Random;
  segmentBytes: number;
  cacheBytes: number;
  recoveryBytes: number;
  preallocateBytes: number;
  journalBytes: number;
  retentionBytes: number;
  retentionFloor: (topic: string, partition: number) => number;
  seams: Seams;
  /** An error that the server would log: in these runs there is no reason for one. */
  onError: (error: Error) => void;
}

const CONNECTION = { clientHost: '/127.0.0.1', onClose: () => () => {} };

/** One process from its start to its end; nothing of it moves once it is over. */
export class Life {
  readonly disk: FaultDisk;
  readonly clock: JumpingClock;
  broker!: Broker;
  engine!: EmbeddedEngine;
  isOver = false;
  /** Recovery is through. */
  isUp = false;
  private store!: LogStore;
  private readonly options: LifeOptions;

  constructor(options: LifeOptions) {
    this.options = options;
    this.disk = options.disk;
    this.clock = options.clock;
  }

  async start(): Promise<void> {
    const {
      disk,
      clock,
      random,
      segmentBytes,
      cacheBytes,
      recoveryBytes,
      preallocateBytes,
      journalBytes,
      retentionBytes,
      seams,
    } = this.options;
    const logger = this.logger;
    const local = await openLocalLogStore({
      directory: '/data/log',
      disk,
      clock,
      logger,
      fsync: true,
      flushIntervalMs: 1000,
      cacheBytes,
      recoveryBytes,
      preallocateBytes,
    });
    this.store = seams.wrapStore?.(local) ?? local;
    this.broker = await Broker.open({
      nodeId: 1,
      store: this.store,
      disk,
      directory: '/data/meta',
      clock,
      random,
      logger,
      metrics: new Metrics(),
      config: {
        ...DEFAULT_BROKER_CONFIG,
        segmentBytes,
        retentionBytes,
        internalSegmentBytes: journalBytes,
        housekeepingIntervalMs: 200,
      },
      advertised: () => ({ host: 'broker.test', port: 9092 }),
      retentionFloor: this.options.retentionFloor,
    });
    this.engine = new EmbeddedEngine(seams.wrapHost?.(this.broker) ?? this.broker, logger);
  }

  /** A clean stop, but for the pipelines. */
  async close(): Promise<void> {
    await this.engine.close();
    await this.broker.close();
    await this.store.close();
  }

  /** So many turns of the world that this process lives in. */
  turns(count: number): Promise<void> {
    return this.disk.turns(count);
  }

  /** For ever, once the process is gone. */
  async unlessOver(): Promise<void> {
    if (this.isOver) await new Promise(() => {});
  }

  /** Sends a request through the real codec; never answered once the process is gone. */
  async ask<K extends ApiKey>(apiKey: K, version: number, body: RequestInput<K>): Promise<ResponseBody<K>> {
    const frame = Buffer.concat(encodeRequest(apiKey, version, 1, 'test', body)).subarray(4);
    const request = decodeRequest(frame);
    if (!request.supported) throw new Error(`key ${apiKey} version ${version} is not served`);
    const whenSent: (() => void)[] = [];
    const answer = await this.broker.handle(request, CONNECTION, whenSent);
    await this.unlessOver();
    if (!answer) throw new Error('the broker did not answer');
    const response = Buffer.concat(encodeResponse(apiKey, version, 1, answer as ResponseInput<K>)).subarray(4);
    for (const release of whenSent) release();
    return decodeResponse(apiKey, version, response).body;
  }

  readonly logger: Logger = {
    debug: () => {},
    info: () => {},
    warn: () => {},
    error: (message: string, fields?: LogFields) => {
      if (!this.isOver)
        this.options.onError(new Error(`${message} ${JSON.stringify(fields)}`, { cause: fields?.['error'] }));
    },
    with: () => this.logger,
  };
}
