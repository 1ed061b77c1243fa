/** What one AppendRows request does to a stream. The connection around it (connection.ts) knows nothing of rows. */
import type { Plan } from '../proto/plan.ts';
import { makePlan, SchemaMismatch } from '../proto/plan.ts';
import { type AppendRowsRequest, type DescriptorProto, type ProtoSchema, storage } from '../proto/protos.ts';
import { checkRow, type Missing, readRow, RowRefused } from '../proto/read.ts';
import { MalformedRow } from '../proto/wire.ts';
import type { Fake } from '../rest/context.ts';
import { checkChange } from '../store/changes.ts';
import { protoChunk } from '../store/rows.ts';
import type { Stream } from '../store/stream.ts';
import type { Table } from '../store/table.ts';
import { toStorage } from '../model/schema.ts';
import {
  Code,
  finalized,
  GrpcError,
  invalid,
  offsetBeyond,
  offsetExists,
  StorageCode,
  streamNotFound,
} from './errors.ts';
import { findTable, parseName } from './names.ts';

/** The service lists so many bad rows at most: "the list may not be complete because of the size limitations". */
const MAX_ROW_ERRORS = 1000;
const DEFAULT_VALUE = storage.AppendRowsRequest.MissingValueInterpretation.DEFAULT_VALUE;

export interface RowErrorMessage {
  readonly index: number;
  readonly code: number;
  readonly message: string;
}

/** The request is refused for some of its rows. */
export class RowsRefused extends GrpcError {
  readonly rows: readonly RowErrorMessage[];

  constructor(rows: readonly RowErrorMessage[], entity: string) {
    super(
      Code.INVALID_ARGUMENT,
      `Errors found while processing rows. Please refer to the row_errors field for details. The list may not be complete because of the size limitations. Entity: ${entity}`,
    );
    this.rows = rows;
  }
}

/** What a connection remembers of one stream that it writes to. */
export interface Target {
  readonly name: string;
  readonly table: Table;
  /** null = the default stream. */
  readonly stream: Stream | null;
  descriptor: DescriptorProto | null;
  descriptorBytes: Uint8Array;
  plan: Plan | null;
  planVersion: number;
  /** The schema that the client knows of: from the time of its first request here. */
  knownVersion: number;
}

/** @throws GrpcError NOT_FOUND, INVALID_ARGUMENT */
export function openTarget(fake: Fake, name: string): Target {
  const parsed = parseName(name);
  if (parsed.stream === null) throw invalid('Invalid stream name.', name, null, true);
  const table = findTable(fake, parsed, name);
  const stream = parsed.stream === '_default' ? null : (table.streams.get(parsed.stream) ?? streamNotFound(name));
  if (stream instanceof GrpcError) throw stream;
  const { version } = table.columnsFor(fake.options.clock.now(), fake.options.schemaDelayMs);
  return {
    name,
    table,
    stream,
    descriptor: null,
    descriptorBytes: new Uint8Array(0),
    plan: null,
    planVersion: 0,
    knownVersion: version,
  };
}

/** The schema to tell the client, once, when it has changed since the client came. */
export function updatedSchema(fake: Fake, target: Target): object | null {
  const { version, columns } = target.table.columnsFor(fake.options.clock.now(), fake.options.schemaDelayMs);
  if (version <= target.knownVersion) return null;
  target.knownVersion = version;
  return { fields: toStorage(columns) };
}

function planFor(fake: Fake, target: Target, schema: ProtoSchema | null | undefined): Plan {
  const descriptor = schema?.protoDescriptor;
  if (descriptor) {
    const bytes = storage.ProtoSchema.encode(schema).finish();
    if (Buffer.compare(bytes, target.descriptorBytes) !== 0) {
      target.descriptor = descriptor;
      target.descriptorBytes = bytes;
      target.plan = null;
    }
  }
  if (!target.descriptor)
    throw invalid('The writer schema must be specified in the first request of a connection.', target.name);
  const { version, columns } = target.table.columnsFor(fake.options.clock.now(), fake.options.schemaDelayMs);
  if (target.plan && target.planVersion === version) return target.plan;
  try {
    target.plan = makePlan(target.descriptor, columns);
    target.planVersion = version;
  } catch (error) {
    if (!(error instanceof SchemaMismatch)) throw error;
    throw invalid(error.message, target.name, error.extraFields ? StorageCode.SCHEMA_MISMATCH_EXTRA_FIELDS : null);
  }
  return target.plan;
}

/** @throws GrpcError; nothing is applied then. @returns the offset of the first row, null on the default stream */
export function append(fake: Fake, target: Target, request: AppendRowsRequest, byDefault: boolean): number | null {
  const { stream, name, table } = target;
  if (request.arrowRows) throw new GrpcError(Code.UNIMPLEMENTED, 'This fake takes rows in proto format only.');
  const offset = request.offset === null || request.offset === undefined ? null : Number(request.offset.value ?? 0);
  if (stream === null && offset !== null) throw invalid('Offset must not be specified for the default stream.', name);
  if (stream?.finalized) throw finalized(name);
  const plan = planFor(fake, target, request.protoRows?.writerSchema);
  const rows = request.protoRows?.rows?.serializedRows ?? [];
  if (rows.length === 0) throw invalid('Rows must be specified.', name);
  if (stream && offset !== null) {
    if (offset < stream.end) throw offsetExists(name, stream.end, offset);
    if (offset > stream.end) throw offsetBeyond(name, stream.end, offset);
  }
  if (plan.change && stream !== null) throw invalid('_CHANGE_TYPE is supported on the default stream only.', name);
  if (plan.change && table.primaryKey.length === 0) {
    throw invalid('Change data capture needs a table with a primary key.', name);
  }
  const missing = missingOf(request, byDefault, fake.options.clock.now());
  const forced = plan.absent.find(({ column }) => column.mode === 'REQUIRED' && !missing.wantsDefault(column.key));
  if (forced && !plan.change)
    throw invalid(`The required field '${forced.column.name}' is missing in the input schema`, name);
  checkRows(plan, rows, missing, target);
  const chunk = protoChunk(plan, rows, missing);
  if (stream === null) {
    table.add(chunk);
    return null;
  }
  const first = stream.end;
  stream.append(chunk);
  return first;
}

function checkRows(plan: Plan, rows: readonly Uint8Array[], missing: Missing, target: Target): void {
  const errors: RowErrorMessage[] = [];
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] as Uint8Array;
    try {
      if (plan.change) checkChange(plan, readRow(plan, row, 0, row.length, [], missing), target.table);
      else checkRow(plan, row, 0, row.length, missing);
    } catch (error) {
      if (!(error instanceof RowRefused) && !(error instanceof MalformedRow)) throw error;
      errors.push({ index, code: 1, message: error.message });
      if (errors.length === MAX_ROW_ERRORS) break;
    }
  }
  if (errors.length > 0) throw new RowsRefused(errors, target.name);
}

function missingOf(request: AppendRowsRequest, byDefault: boolean, now: number): Missing {
  const chosen = new Map(
    Object.entries(request.missingValueInterpretations ?? {}).map(([column, how]) => [
      column.toLowerCase(),
      how === DEFAULT_VALUE,
    ]),
  );
  if (chosen.size === 0) return { now, wantsDefault: byDefault ? always : never };
  return { now, wantsDefault: key => chosen.get(key) ?? byDefault };
}
const always = (): boolean => true;
const never = (): boolean => false;
