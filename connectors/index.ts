import { bigQuerySink } from './bigquery/sink.ts';
import { fileSink } from './file/sink.ts';
import { fileSource } from './file/source.ts';
import type { SinkConnector, SourceConnector } from './runtime/contract.ts';

/** Every sink connector by its TOML key. Call once a process: connectors share what two sinks must not do at once. */
export function sinkConnectors(): Map<string, SinkConnector> {
  return byType<SinkConnector>([fileSink(), bigQuerySink()]);
}

/** Every source connector by its TOML key. */
export function sourceConnectors(): Map<string, SourceConnector> {
  return byType<SourceConnector>([fileSource()]);
}

function byType<C extends { type: string }>(connectors: C[]): Map<string, C> {
  return new Map(connectors.map(connector => [connector.type, connector]));
}
