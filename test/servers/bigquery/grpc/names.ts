/** Resource names: `projects/p/datasets/d/tables/t[/streams/s]`. */
import { ApiError } from '../model/api-error.ts';
import type { Fake } from '../rest/context.ts';
import type { Stream } from '../store/stream.ts';
import type { Table, TableRef } from '../store/table.ts';
import { Code, GrpcError, streamNotFound, tableNotFound } from './errors.ts';

/** The old spelling of the default stream has no `streams/`. */
const NAME = /^projects\/([^/]+)\/datasets\/([^/]+)\/tables\/([^/]+)(?:\/(?:streams\/([^/]+)|(_default)))?$/;

export interface StreamName extends TableRef {
  /** `_default`, an id, or null for a table's name. */
  readonly stream: string | null;
}

/** @throws GrpcError INVALID_ARGUMENT */
export function parseName(text: string): StreamName {
  const match = NAME.exec(text);
  if (!match) throw new GrpcError(Code.INVALID_ARGUMENT, `Invalid resource name: ${text}`, null, true);
  const [, project = '', dataset = '', table = '', stream, old] = match;
  return { project, dataset, table, stream: stream ?? old ?? null };
}

export const tableId = ({ project, dataset, table }: TableRef): string => `${project}:${dataset}.${table}`;

/** @param entity the name that the message gives. @throws GrpcError NOT_FOUND */
export function findTable(fake: Fake, ref: TableRef, entity: string): Table {
  try {
    return fake.warehouse.tableForWriting(ref);
  } catch (error) {
    if (error instanceof ApiError) throw tableNotFound(entity);
    throw error;
  }
}

/** @throws GrpcError NOT_FOUND, or INVALID_ARGUMENT for the default stream */
export function findStream(fake: Fake, name: string): Stream {
  const parsed = parseName(name);
  if (parsed.stream === null) throw new GrpcError(Code.INVALID_ARGUMENT, `Invalid stream name: ${name}`);
  if (parsed.stream === '_default') {
    throw new GrpcError(Code.INVALID_ARGUMENT, `The operation is not supported on the default stream. Entity: ${name}`);
  }
  const stream = findTable(fake, parsed, name).streams.get(parsed.stream);
  if (!stream) throw streamNotFound(name);
  return stream;
}
