import * as admin from './messages/admin.ts';
import * as groups from './messages/groups.ts';
import * as metadata from './messages/metadata.ts';
import * as offsets from './messages/offsets.ts';
import * as produceFetch from './messages/produce-fetch.ts';
import * as sasl from './messages/sasl.ts';
import * as transactions from './messages/transactions.ts';
import type { Decoded, Input, Schema } from './schema.ts';

/** One request type of the protocol with what our broker serves of it. */
export interface Api {
  readonly key: number;
  readonly request: Schema;
  readonly response: Schema;
  /** Versions that our broker answers; null: declared for the client, not served. */
  readonly served: readonly [min: number, max: number] | null;
  /** What ApiVersions says instead of the served minimum. */
  readonly reportedMin?: number;
}

export const APIS = {
  Produce: {
    key: 0,
    request: produceFetch.ProduceRequest,
    response: produceFetch.ProduceResponse,
    served: [3, 12],
    // librdkafka takes a minimum above 0 as a broker without message format v1 (Kafka 4 reports 0 too).
    reportedMin: 0,
  },
  Fetch: { key: 1, request: produceFetch.FetchRequest, response: produceFetch.FetchResponse, served: [4, 12] },
  ListOffsets: {
    key: 2,
    request: produceFetch.ListOffsetsRequest,
    response: produceFetch.ListOffsetsResponse,
    served: [1, 7],
  },
  Metadata: { key: 3, request: metadata.MetadataRequest, response: metadata.MetadataResponse, served: [0, 13] },
  OffsetCommit: {
    key: 8,
    request: offsets.OffsetCommitRequest,
    response: offsets.OffsetCommitResponse,
    served: [2, 9],
  },
  OffsetFetch: { key: 9, request: offsets.OffsetFetchRequest, response: offsets.OffsetFetchResponse, served: [1, 9] },
  FindCoordinator: {
    key: 10,
    request: metadata.FindCoordinatorRequest,
    response: metadata.FindCoordinatorResponse,
    served: [0, 6],
  },
  JoinGroup: { key: 11, request: groups.JoinGroupRequest, response: groups.JoinGroupResponse, served: [0, 9] },
  Heartbeat: { key: 12, request: groups.HeartbeatRequest, response: groups.HeartbeatResponse, served: [0, 4] },
  LeaveGroup: { key: 13, request: groups.LeaveGroupRequest, response: groups.LeaveGroupResponse, served: [0, 5] },
  SyncGroup: { key: 14, request: groups.SyncGroupRequest, response: groups.SyncGroupResponse, served: [0, 5] },
  DescribeGroups: {
    key: 15,
    request: groups.DescribeGroupsRequest,
    response: groups.DescribeGroupsResponse,
    served: [0, 5],
  },
  ListGroups: { key: 16, request: groups.ListGroupsRequest, response: groups.ListGroupsResponse, served: [0, 5] },
  SaslHandshake: {
    key: 17,
    request: sasl.SaslHandshakeRequest,
    response: sasl.SaslHandshakeResponse,
    served: null,
  },
  ApiVersions: {
    key: 18,
    request: metadata.ApiVersionsRequest,
    response: metadata.ApiVersionsResponse,
    served: [0, 4],
  },
  CreateTopics: { key: 19, request: admin.CreateTopicsRequest, response: admin.CreateTopicsResponse, served: [2, 7] },
  DeleteTopics: { key: 20, request: admin.DeleteTopicsRequest, response: admin.DeleteTopicsResponse, served: [1, 6] },
  DeleteRecords: {
    key: 21,
    request: admin.DeleteRecordsRequest,
    response: admin.DeleteRecordsResponse,
    served: [0, 2],
  },
  InitProducerId: {
    key: 22,
    request: transactions.InitProducerIdRequest,
    response: transactions.InitProducerIdResponse,
    served: [0, 5],
  },
  OffsetForLeaderEpoch: {
    key: 23,
    request: produceFetch.OffsetForLeaderEpochRequest,
    response: produceFetch.OffsetForLeaderEpochResponse,
    served: [2, 4],
  },
  AddPartitionsToTxn: {
    key: 24,
    request: transactions.AddPartitionsToTxnRequest,
    response: transactions.AddPartitionsToTxnResponse,
    served: [0, 5],
  },
  AddOffsetsToTxn: {
    key: 25,
    request: transactions.AddOffsetsToTxnRequest,
    response: transactions.AddOffsetsToTxnResponse,
    served: [0, 4],
  },
  EndTxn: { key: 26, request: transactions.EndTxnRequest, response: transactions.EndTxnResponse, served: [0, 5] },
  TxnOffsetCommit: {
    key: 28,
    request: transactions.TxnOffsetCommitRequest,
    response: transactions.TxnOffsetCommitResponse,
    served: [0, 5],
  },
  DescribeConfigs: {
    key: 32,
    request: admin.DescribeConfigsRequest,
    response: admin.DescribeConfigsResponse,
    served: [1, 4],
  },
  SaslAuthenticate: {
    key: 36,
    request: sasl.SaslAuthenticateRequest,
    response: sasl.SaslAuthenticateResponse,
    served: null,
  },
  CreatePartitions: {
    key: 37,
    request: admin.CreatePartitionsRequest,
    response: admin.CreatePartitionsResponse,
    served: [0, 3],
  },
  DeleteGroups: { key: 42, request: groups.DeleteGroupsRequest, response: groups.DeleteGroupsResponse, served: [0, 2] },
  DescribeCluster: {
    key: 60,
    request: metadata.DescribeClusterRequest,
    response: metadata.DescribeClusterResponse,
    served: [0, 1],
  },
} as const satisfies Record<string, Api>;

export type ApiName = keyof typeof APIS;
export type ApiKey = (typeof APIS)[ApiName]['key'];
type ApiWithKey<K extends ApiKey> = Extract<(typeof APIS)[ApiName], { readonly key: K }>;

/** The numbers by name: `case ApiKey.Produce:` narrows a request's body. */
export const ApiKey = Object.fromEntries(Object.entries(APIS).map(([name, api]) => [name, api.key])) as {
  readonly [N in ApiName]: (typeof APIS)[N]['key'];
};

export type RequestBody<K extends ApiKey> = Decoded<ApiWithKey<K>['request']>;
export type RequestInput<K extends ApiKey> = Input<ApiWithKey<K>['request']>;
export type ResponseBody<K extends ApiKey> = Decoded<ApiWithKey<K>['response']>;
export type ResponseInput<K extends ApiKey> = Input<ApiWithKey<K>['response']>;

const BY_KEY: ReadonlyMap<number, { name: ApiName; api: Api }> = new Map(
  Object.entries(APIS).map(([name, api]) => [api.key, { name: name as ApiName, api }]),
);

/** The declared API with this key, or null. */
export function apiOf(apiKey: number): Api | null {
  return BY_KEY.get(apiKey)?.api ?? null;
}

/** Kafka's name for the key, for messages and metrics; null for one we do not know. */
export function apiNameOf(apiKey: number): ApiName | null {
  return BY_KEY.get(apiKey)?.name ?? null;
}

export function isServed(apiKey: number, apiVersion: number): boolean {
  const served = apiOf(apiKey)?.served;
  return !!served && apiVersion >= served[0] && apiVersion <= served[1];
}
