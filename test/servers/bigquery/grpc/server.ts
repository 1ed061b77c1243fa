/** The gRPC side: google.cloud.bigquery.storage.v1.BigQueryWrite in plaintext on loopback. */
import * as grpc from '@grpc/grpc-js';
import { disturbTable } from '../disturb.ts';
import type { Fake } from '../rest/context.ts';
import { Connection } from './connection.ts';
import { Code, GrpcError, toStatus } from './errors.ts';
import { killSession } from './kill.ts';
import { parseName, tableId } from './names.ts';
import { service, type UnaryName, unaryMethods } from './streams.ts';

export async function startGrpc(fake: Fake, port: number): Promise<{ port: number; close(): Promise<void> }> {
  const server = new grpc.Server({
    // Above the API's own limit, so that it is the fake that refuses, with the API's words.
    'grpc.max_receive_message_length': 64 * 2 ** 20,
    'grpc-node.flow_control_window': 8 * 2 ** 20,
  });
  let connections = 0;
  server.addService(service, {
    ...Object.fromEntries(Object.keys(unaryMethods).map(name => [name, unary(fake, name as UnaryName)])),
    AppendRows(call: ConstructorParameters<typeof Connection>[1]) {
      const refused = checkToken(fake, call.metadata);
      if (refused) call.emit('error', toStatus(refused));
      else new Connection(fake, call, (connections += 1)).open();
    },
  });
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    );
  });
  return {
    port: bound,
    close: async () => {
      server.forceShutdown();
      await Promise.resolve();
    },
  };
}

function checkToken(fake: Fake, metadata: grpc.Metadata): GrpcError | null {
  const { acceptToken } = fake.options;
  const token = /^Bearer (.+)$/.exec(String(metadata.get('authorization')[0] ?? ''))?.[1];
  if (acceptToken === null || (token !== undefined && acceptToken(token))) return null;
  return new GrpcError(Code.UNAUTHENTICATED, 'Request had invalid authentication credentials.');
}

/** What a unary request names: its table and stream, for the journal and the faults. */
function targetOf(request: { parent?: string; name?: string; writeStream?: unknown }): {
  table: string;
  stream?: string;
} {
  const name = [request.parent, request.name, request.writeStream].find(
    each => typeof each === 'string' && each !== '',
  );
  try {
    const parsed = parseName(String(name));
    return { table: tableId(parsed), ...(parsed.stream === null ? {} : { stream: String(name) }) };
  } catch {
    return { table: '' };
  }
}

const unary =
  (fake: Fake, name: UnaryName) =>
  (call: grpc.ServerUnaryCall<object, object>, callback: grpc.sendUnaryData<object>): void => {
    void answer(fake, name, call).then(
      response => response && callback(null, response),
      (error: unknown) =>
        callback(toStatus(error instanceof GrpcError ? error : new GrpcError(Code.INTERNAL, String(error)))),
    );
  };

/** @returns null when nothing is to be answered */
async function answer(fake: Fake, name: UnaryName, call: grpc.ServerUnaryCall<object, object>): Promise<object | null> {
  const described = { method: name, ...targetOf(call.request) };
  const entry = fake.journal.open(described);
  const actions = fake.faults.match(described);
  if (actions.length > 0) entry.fault = actions.map(action => action.kind).join(',');
  for (const action of actions) {
    if (action.kind === 'delay') await fake.faults.wait(action.ms);
    else if (action.kind === 'kill' && action.when === 'before') {
      entry.outcome = 'killed';
      killSession(call);
      return null;
    } else if (action.kind === 'grpc-error') {
      entry.outcome = Code[action.code] ?? String(action.code);
      throw new GrpcError(action.code, action.message);
    } else disturbTable(fake, described.table, action);
  }
  try {
    const refused = checkToken(fake, call.metadata);
    if (refused) throw refused;
    const method = unaryMethods[name] as (fake: Fake, request: object) => object;
    const response = method(fake, call.request);
    entry.outcome = 'streamErrors' in response ? 'streamErrors' : 'ok';
    entry.applied = entry.outcome === 'ok';
    const hidden = actions.find(each => each.kind === 'drop-ack' || (each.kind === 'kill' && each.when === 'after'));
    if (!hidden) return response;
    entry.outcome = `hidden:${entry.outcome}`;
    if (hidden.kind === 'kill') killSession(call);
    return null;
  } catch (error) {
    entry.outcome = error instanceof GrpcError ? (Code[error.code] ?? String(error.code)) : 'INTERNAL';
    throw error;
  }
}
