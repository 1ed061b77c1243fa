/** The official message types: the static codec inside the npm package, without the client around it. */
import { createRequire } from 'node:module';
import type { protos as Protos } from '@google-cloud/bigquery-storage';

const require = createRequire(import.meta.url);
const root = require('@google-cloud/bigquery-storage/build/protos/protos.js') as typeof Protos;

export const storage = root.google.cloud.bigquery.storage.v1;
export const rpc = root.google.rpc;
export type Storage = typeof Protos.google.cloud.bigquery.storage.v1;
export type DescriptorProto = Protos.google.protobuf.IDescriptorProto;
export type FieldDescriptorProto = Protos.google.protobuf.IFieldDescriptorProto;
export type AppendRowsRequest = Protos.google.cloud.bigquery.storage.v1.AppendRowsRequest;
export type AppendRowsResponse = Protos.google.cloud.bigquery.storage.v1.IAppendRowsResponse;
export type WriteStream = Protos.google.cloud.bigquery.storage.v1.IWriteStream;
export type StorageErrorMessage = Protos.google.cloud.bigquery.storage.v1.IStorageError;
export type ProtoSchema = Protos.google.cloud.bigquery.storage.v1.IProtoSchema;
