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
        return {
          write: (batch, signal) => {
            this.writes++;
            return this.trouble(() => writer.write(batch, signal), batch);
          },
          committed: state => writer.committed?.(state),
          close: how => writer.close(how),
        };
      },
      close: () => sink.close(),
    };
  }
}
