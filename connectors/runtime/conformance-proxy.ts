import type {
  ConnectorContext,
  PartitionWriter,
  RowBatch,
  Sink,
  SinkCaps,
  SinkConnector,
  SinkPartition,
  WriteResult,
} from './contract.ts';

/** What happens around one write: `send` hands it to the connector. */
export type Trouble = (send: () => Promise<WriteResult>, batch: RowBatch) => Promise<WriteResult>;

/** The runtime hands a writer its batches in the order of the log, each as soon as it may: what is refused between the
 * two must not change that. */
class FirstInOrder {
  private readonly order: unknown[] = [];
  private readonly handed = new Set<unknown>();
  private wakers: (() => void)[] = [];

  add(rows: unknown): void {
    if (!this.order.includes(rows)) this.order.push(rows);
  }

  /** Resolves once every batch before this one was handed over at least once. */
  async turn(rows: unknown): Promise<void> {
    const before = this.order.slice(0, this.order.indexOf(rows));
    while (!before.every(each => this.handed.has(each))) {
      await new Promise<void>(resolve => this.wakers.push(resolve));
    }
    this.handed.add(rows);
    for (const waker of this.wakers.splice(0)) waker();
  }
}

/** Stands between the runtime and a connector, and lets the conformance kit break what happens there. */
export class TroubledConnector implements SinkConnector {
  readonly type: string;
  readonly description: string;
  readonly config: SinkConnector['config'];
  trouble: Trouble = send => send();
  /** Writes asked for so far. */
  writes = 0;
  private readonly inner: SinkConnector;

  constructor(inner: SinkConnector) {
    this.inner = inner;
    this.type = inner.type;
    this.description = inner.description;
    this.config = inner.config;
  }

  caps(config: unknown): SinkCaps {
    return this.inner.caps(config);
  }

  async open(config: unknown, context: ConnectorContext): Promise<Sink> {
    const sink = await this.inner.open(config, context);
    return {
      acquire: async (partition: SinkPartition): Promise<PartitionWriter> => {
        const writer = await sink.acquire(partition);
        const order = new FirstInOrder();
        return {
          write: (batch, signal) => {
            this.writes++;
            order.add(batch.rows);
            const send = async (): Promise<WriteResult> => {
              await order.turn(batch.rows);
              return writer.write(batch, signal);
            };
            return this.trouble(send, batch);
          },
          committed: state => writer.committed?.(state),
          close: how => writer.close(how),
        };
      },
      close: () => sink.close(),
    };
  }
}
