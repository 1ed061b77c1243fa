import type { Clock } from '../base/clock.ts';
import { asMillstreamError, MillstreamError } from '../base/errors.ts';
import { type Logger, silentLogger } from '../base/logger.ts';
import type { Network } from '../base/network.ts';
import type { Random } from '../base/random.ts';
import { ApiKey, type RequestInput, type ResponseBody } from '../protocol/api.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import { parseAddress } from './address.ts';
import { type BackOffOptions, retrying } from './back-off.ts';
import { BrokerError, refuse, unreachable } from './broker-error.ts';
import { type BrokerAddress, type ClusterMetadata, readMetadata, type TopicMetadata } from './cluster-metadata.ts';
import { Connection, type SendOptions } from './connection.ts';
import type { SaslOptions } from './sasl.ts';

export interface ClusterOptions {
  /** "host:port" of one or more brokers to begin with. */
  brokers: readonly string[];
  network: Network;
  clock: Clock;
  random: Random;
  logger?: Logger;
  clientId?: string;
  /** How every connection authenticates. Left out: it does not. TLS is the network's business. */
  sasl?: SaslOptions | null;
  /** Default 10 s. */
  connectTimeoutMs?: number;
  /** Default 30 s. */
  requestTimeoutMs?: number;
  /** How long retriable failures are retried. Default 30 s. */
  retryForMs?: number;
  /** Retry also before any broker has ever answered: for services that may be up before their brokers. Default false. */
  waitForBrokers?: boolean;
  /** Age at which metadata is asked for again without need. Default 5 minutes. */
  metadataMaxAgeMs?: number;
}

/** Which connection to a broker: what waits on the broker's side (a poll, a rebalance) must not hold up others. */
export type Lane = string;
const SHARED: Lane = 'shared';

interface ConnectionSlot {
  opening: Promise<Connection>;
  /** Null while it is being opened. */
  open: Connection | null;
}

/** A cluster as a client sees it: who leads what, and connections to them. Connects when first needed. */
export class Cluster {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  private readonly options: ClusterOptions;
  private readonly bootstrap: readonly { host: string; port: number }[];
  private readonly connections = new Map<string, ConnectionSlot>();
  private readonly topics = new Map<string, { metadata: TopicMetadata; at: number }>();
  private readonly coordinators = new Map<string, BrokerAddress>();
  private brokers: readonly BrokerAddress[] = [];
  private nextLane = 1;
  /** Connections that end with their last answer. */
  private readonly retired = new Set<Connection>();
  private closed = false;
  /** A broker has answered once: from then on an unreachable one is waited for. */
  private reached: boolean;

  /** Throws kind `invalid`, code BAD_ADDRESS. */
  constructor(options: ClusterOptions) {
    this.options = options;
    this.clock = options.clock;
    this.random = options.random;
    this.logger = options.logger ?? silentLogger;
    this.bootstrap = options.brokers.map(parseAddress);
    this.reached = options.waitForBrokers ?? false;
  }

  /** A lane of its own, for a poll loop or a group member. */
  newLane(purpose: string): Lane {
    return `${purpose}-${this.nextLane++}`;
  }

  /**
   * Repeats what fails retriably, with capped and jittered pauses; in between metadata and coordinators are forgotten.
   * `forMs`: other than the cluster's own time. When the signal is aborted the last failure is thrown. `onRetry` hears
   * of each failure that is not the last.
   */
  retrying<T>(
    attempt: () => Promise<T>,
    signal?: AbortSignal,
    forMs = this.backOff.forMs,
    onRetry: (error: Error) => void = () => {},
  ): Promise<T> {
    const forget = (error: Error): void => {
      onRetry(error);
      this.logger.debug('a request is tried again', { error });
      this.topics.clear();
      this.coordinators.clear();
    };
    return retrying({ ...this.backOff, forMs }, attempt, forget, signal);
  }

  get backOff(): BackOffOptions {
    return { clock: this.clock, random: this.random, fromMs: 50, toMs: 1000, forMs: this.options.retryForMs ?? 30_000 };
  }

  /** Asks for topics by name (null: all), now. `create`: a missing one is created if the broker does so. */
  async metadata(topics: readonly string[] | null, create = false): Promise<ClusterMetadata> {
    const connection = await this.any();
    const body = { topics: topics?.map(name => ({ name })) ?? null, allowAutoTopicCreation: create };
    const response = await connection.send(ApiKey.Metadata, body);
    refuse(response.errorCode, 'metadata');
    const metadata = readMetadata(response);
    this.brokers = metadata.brokers;
    for (const topic of metadata.topics) this.topics.set(topic.name, { metadata: topic, at: this.clock.monotonic() });
    return metadata;
  }

  /** A topic, from memory if it was asked for lately. Throws BrokerError, UNKNOWN_TOPIC_OR_PARTITION when missing. */
  async topic(name: string, create = false): Promise<TopicMetadata> {
    const known = this.topics.get(name);
    const maxAgeMs = this.options.metadataMaxAgeMs ?? 300_000;
    if (known && this.clock.monotonic() - known.at < maxAgeMs) return known.metadata;
    const metadata = await this.metadata([name], create);
    const found = metadata.topics.find(topic => topic.name === name);
    if (found) return found;
    throw new BrokerError(metadata.errors.get(name) ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `topic ${name}`);
  }

  /** The topic if it was asked for lately, without asking. */
  knownTopic(name: string): TopicMetadata | null {
    return this.topics.get(name)?.metadata ?? null;
  }

  /** What was believed about this topic was wrong. */
  forgetTopic(name: string): void {
    this.topics.delete(name);
  }

  /** Node id of the partition's leader. Throws BrokerError (retriable LEADER_NOT_AVAILABLE when there is none now). */
  async leaderOf(topic: string, partition: number): Promise<number> {
    const { partitions } = await this.topic(topic);
    const leader = partitions[partition]?.leader;
    if (leader === undefined) throw new BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `${topic}-${partition}`);
    if (leader < 0) throw new BrokerError(ErrorCode.LEADER_NOT_AVAILABLE, `${topic}-${partition}`);
    return leader;
  }

  /** A connection to a broker by its node id. */
  async broker(nodeId: number, lane: Lane = SHARED): Promise<Connection> {
    const address = this.brokers.find(one => one.nodeId === nodeId);
    if (!address) throw new BrokerError(ErrorCode.LEADER_NOT_AVAILABLE, `broker ${nodeId}`);
    return this.connect(address, lane);
  }

  /**
   * A connection to any broker: those known first, then the addresses given. Kind `unavailable`, code UNREACHABLE;
   * retriable only once a broker has answered, so that a wrong address is told at once.
   */
  async any(lane: Lane = SHARED): Promise<Connection> {
    const candidates = [...this.brokers, ...this.bootstrap];
    const failures: MillstreamError[] = [];
    for (const address of candidates) {
      try {
        return await this.connect(address, lane);
      } catch (error) {
        failures.push(asMillstreamError(error));
      }
    }
    // A broker that is there and refuses us says more than one that is away.
    const refusal = failures.find(one => !one.retriable && one.code !== 'UNREACHABLE');
    if (refusal) throw refusal;
    const first = failures[0];
    const all = this.bootstrap.map(one => `${one.host}:${one.port}`).join(', ');
    throw unreachable(
      `no broker of ${all || '(none given)'} answers: ${first?.message ?? 'there is no address'}`,
      first,
      {
        retriable: this.reached,
        help: first?.help ?? 'Check the address, and that a broker is running there.',
      },
    );
  }

  /** A connection to the coordinator of a group (keyType 0) or of a transactional id (1). */
  async coordinator(key: string, keyType: 0 | 1 = 0, lane: Lane = SHARED): Promise<Connection> {
    const name = `${keyType}:${key}`;
    let address = this.coordinators.get(name);
    if (!address) {
      address = await this.findCoordinator(key, keyType);
      this.coordinators.set(name, address);
    }
    return this.connect(address, lane);
  }

  /** Sends to the group's coordinator. The body's own error codes are the caller's business. */
  async toCoordinator<K extends ApiKey>(
    group: string,
    apiKey: K,
    body: RequestInput<K>,
    options: SendOptions & { lane?: Lane } = {},
  ): Promise<ResponseBody<K>> {
    const connection = await this.coordinator(group, 0, options.lane);
    return connection.send(apiKey, body, options);
  }

  forgetCoordinator(key: string, keyType: 0 | 1 = 0): void {
    this.coordinators.delete(`${keyType}:${key}`);
  }

  /** Ends a lane's connections. */
  closeLane(lane: Lane): void {
    for (const [key, slot] of this.connections) {
      if (!key.endsWith(`/${lane}`)) continue;
      this.connections.delete(key);
      slot.opening.then(
        open => open.close(),
        () => {},
      );
    }
  }

  /** Ends all connections; requests under way are rejected. */
  async close(): Promise<void> {
    this.closed = true;
    const slots = [...this.connections.values()];
    this.connections.clear();
    const opened = await Promise.allSettled(slots.map(slot => slot.opening));
    for (const one of opened) if (one.status === 'fulfilled') one.value.close();
    for (const one of this.retired) one.close();
  }

  private async findCoordinator(key: string, keyType: 0 | 1): Promise<BrokerAddress> {
    const connection = await this.any();
    const answer = await connection.send(ApiKey.FindCoordinator, { key, keyType, coordinatorKeys: [key] });
    const found = connection.versionOf(ApiKey.FindCoordinator) >= 4 ? answer.coordinators[0] : answer;
    if (!found) throw new BrokerError(ErrorCode.COORDINATOR_NOT_AVAILABLE, `coordinator of ${key}`);
    refuse(found.errorCode, `coordinator of ${key}`, found.errorMessage || null);
    return { nodeId: found.nodeId, host: found.host, port: found.port, rack: null };
  }

  private retire(connection: Connection): void {
    for (const one of this.retired) if (one.isOver) this.retired.delete(one);
    this.retired.add(connection);
    connection.retire();
  }

  private connect({ host, port }: { host: string; port: number }, lane: Lane): Promise<Connection> {
    if (this.closed) return Promise.reject(new MillstreamError('closed', 'CLIENT_CLOSED', 'the client is closed'));
    const key = `${host}:${port}/${lane}`;
    const known = this.connections.get(key);
    if (known && (known.open === null || known.open.usable)) return known.opening;
    if (known?.open) this.retire(known.open);
    const opening = Connection.open({
      host,
      port,
      clientId: this.options.clientId ?? 'millstream',
      network: this.options.network,
      clock: this.clock,
      random: this.random,
      sasl: this.options.sasl ?? null,
      connectTimeoutMs: this.options.connectTimeoutMs ?? 10_000,
      requestTimeoutMs: this.options.requestTimeoutMs ?? 30_000,
    });
    const slot: ConnectionSlot = { opening, open: null };
    this.connections.set(key, slot);
    opening.then(
      open => {
        slot.open = open;
        this.reached = true;
      },
      () => {
        if (this.connections.get(key) === slot) this.connections.delete(key);
      },
    );
    return opening;
  }
}
