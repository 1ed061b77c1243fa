import type { Cluster } from '../../../core/client/cluster.ts';
import { type KafkaProcess, kafkaProcess } from '../../core/engine/kafka-fixture.ts';
import { type Judge, KafkaProxy } from '../../servers/kafka-proxy.ts';
import { Millstream } from '../../servers/millstream.ts';
import { freePorts } from '../../servers/process.ts';
import { Subscriber } from '../../servers/subscriber.ts';
import { Wire } from '../../servers/wire.ts';
import { idOf, installPipeline, makeTopics, Orders, recordsOf } from './orders.ts';
import { deadTopicOf, endpointsOf, subscriberToml, type Way, WAYS } from './ways.ts';

/** A Millstream with the pipeline of orders, a proxy between it and its clients, and subscribers of its output. */
export class Stage {
  readonly broker: Millstream;
  readonly orders: Orders;
  /** Past the proxy. */
  readonly wire: Wire;
  /** Who sees the requests of clients; the first that does not let one pass decides. */
  readonly judges: Judge[];
  private readonly proxy: KafkaProxy;
  private readonly operator: KafkaProcess;
  private readonly subscribers: Subscriber[] = [];

  private constructor(broker: Millstream, proxy: KafkaProxy, judges: Judge[], wire: Wire) {
    this.broker = broker;
    this.proxy = proxy;
    this.judges = judges;
    this.wire = wire;
    this.orders = new Orders(broker);
    this.operator = kafkaProcess(broker.bootstrap);
  }

  static async open(): Promise<Stage> {
    const [port = 0] = await freePorts(1);
    const broker = await Millstream.prepare({ config: { 'network.advertised': `127.0.0.1:${port}` } });
    const judges: Judge[] = [];
    const proxy = await KafkaProxy.start(
      port,
      () => broker.kafkaPort,
      (apiKey, frame) => judges.map(judge => judge(apiKey, frame)).find(verdict => verdict !== 'pass') ?? 'pass',
    );
    try {
      await installPipeline(broker);
      await broker.restart();
      await makeTopics(broker, WAYS.map(deadTopicOf));
      return new Stage(broker, proxy, judges, await Wire.connect(broker.bootstrap));
    } catch (error) {
      await proxy.close();
      await broker.stop();
      throw error;
    }
  }

  /** For questions to the broker. */
  get cluster(): Cluster {
    return this.operator.cluster;
  }

  /** Not started yet; `more` stands in `[subscription]`. */
  async subscriber(way: Way, bigquery: { restUrl: string; grpcAddress: string }, more = ''): Promise<Subscriber> {
    const toml = subscriberToml(way, `127.0.0.1:${this.proxy.port}`, more);
    const subscriber = await Subscriber.prepare(endpointsOf(bigquery), toml);
    this.subscribers.push(subscriber);
    return subscriber;
  }

  /** Rows that the way's subscriber refused. */
  async refused(way: Way): Promise<string[]> {
    return (await recordsOf(this.broker.bootstrap, deadTopicOf(way))).map(idOf);
  }

  async close(): Promise<void> {
    this.wire.close();
    this.orders.close();
    await this.operator.close();
    for (const subscriber of this.subscribers) await subscriber.remove();
    await this.proxy.close();
    await this.broker.stop();
  }
}
