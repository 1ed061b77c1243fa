import { array, bool, type Decoded, type Input, int16, int32, int64, int8, message, string, uuid } from '../schema.ts';

/** What authorized-operations fields hold when they were not asked for. */
export const NOT_ASKED = -0x80000000;

export const ApiVersionsRequest = message('ApiVersionsRequest', '0-4', '3+', {
  clientSoftwareName: string('3+'),
  clientSoftwareVersion: string('3+'),
});
export type ApiVersionsRequest = Decoded<typeof ApiVersionsRequest>;

export const ApiVersionsResponse = message('ApiVersionsResponse', '0-4', '3+', {
  errorCode: int16(),
  apiKeys: array({ apiKey: int16(), minVersion: int16(), maxVersion: int16() }),
  throttleTimeMs: int32('1+'),
  supportedFeatures: array({ name: string(), minVersion: int16(), maxVersion: int16() }, '3+', { tag: 0 }),
  finalizedFeaturesEpoch: int64('3+', { tag: 1, default: -1 }),
  finalizedFeatures: array({ name: string(), maxVersionLevel: int16(), minVersionLevel: int16() }, '3+', { tag: 2 }),
  zkMigrationReady: bool('3+', { tag: 3, default: false }),
});
export type ApiVersionsResponse = Decoded<typeof ApiVersionsResponse>;
export type ApiVersionsResponseInput = Input<typeof ApiVersionsResponse>;

export const MetadataRequest = message('MetadataRequest', '0-13', '9+', {
  /** null (v1+): all topics; v0: an empty list means all. */
  topics: array({ topicId: uuid('10+'), name: string('0+', { nullable: '10+' }) }, '0+', { nullable: '1+' }),
  allowAutoTopicCreation: bool('4+', { default: true }),
  includeClusterAuthorizedOperations: bool('8-10'),
  includeTopicAuthorizedOperations: bool('8+'),
});
export type MetadataRequest = Decoded<typeof MetadataRequest>;

export const MetadataResponse = message('MetadataResponse', '0-13', '9+', {
  throttleTimeMs: int32('3+'),
  brokers: array({
    nodeId: int32(),
    host: string(),
    port: int32(),
    rack: string('1+', { nullable: '1+', default: null }),
  }),
  clusterId: string('2+', { nullable: '2+', default: null }),
  controllerId: int32('1+', { default: -1 }),
  topics: array({
    errorCode: int16(),
    name: string('0+', { nullable: '12+' }),
    topicId: uuid('10+'),
    isInternal: bool('1+', { default: false }),
    partitions: array({
      errorCode: int16(),
      partitionIndex: int32(),
      leaderId: int32(),
      leaderEpoch: int32('7+', { default: -1 }),
      replicaNodes: array(int32()),
      isrNodes: array(int32()),
      offlineReplicas: array(int32(), '5+'),
    }),
    topicAuthorizedOperations: int32('8+', { default: NOT_ASKED }),
  }),
  clusterAuthorizedOperations: int32('8-10', { default: NOT_ASKED }),
  errorCode: int16('13+'),
});
export type MetadataResponse = Decoded<typeof MetadataResponse>;
export type MetadataResponseInput = Input<typeof MetadataResponse>;

export const FindCoordinatorRequest = message('FindCoordinatorRequest', '0-6', '3+', {
  key: string('0-3'),
  /** 0 group, 1 transaction, 2 share. */
  keyType: int8('1+', { default: 0 }),
  coordinatorKeys: array(string(), '4+'),
});
export type FindCoordinatorRequest = Decoded<typeof FindCoordinatorRequest>;

export const FindCoordinatorResponse = message('FindCoordinatorResponse', '0-6', '3+', {
  throttleTimeMs: int32('1+'),
  errorCode: int16('0-3'),
  errorMessage: string('1-3', { nullable: '1-3' }),
  nodeId: int32('0-3'),
  host: string('0-3'),
  port: int32('0-3'),
  coordinators: array(
    {
      key: string(),
      nodeId: int32(),
      host: string(),
      port: int32(),
      errorCode: int16(),
      errorMessage: string('4+', { nullable: '4+' }),
    },
    '4+',
  ),
});
export type FindCoordinatorResponse = Decoded<typeof FindCoordinatorResponse>;
export type FindCoordinatorResponseInput = Input<typeof FindCoordinatorResponse>;

export const DescribeClusterRequest = message('DescribeClusterRequest', '0-2', '0+', {
  includeClusterAuthorizedOperations: bool(),
  endpointType: int8('1+', { default: 1 }),
  includeFencedBrokers: bool('2+'),
});
export type DescribeClusterRequest = Decoded<typeof DescribeClusterRequest>;

export const DescribeClusterResponse = message('DescribeClusterResponse', '0-2', '0+', {
  throttleTimeMs: int32('0+', { default: 0 }),
  errorCode: int16(),
  errorMessage: string('0+', { nullable: '0+', default: null }),
  endpointType: int8('1+', { default: 1 }),
  clusterId: string(),
  controllerId: int32('0+', { default: -1 }),
  brokers: array({
    brokerId: int32(),
    host: string(),
    port: int32(),
    rack: string('0+', { nullable: '0+', default: null }),
    isFenced: bool('2+'),
  }),
  clusterAuthorizedOperations: int32('0+', { default: NOT_ASKED }),
});
export type DescribeClusterResponse = Decoded<typeof DescribeClusterResponse>;
export type DescribeClusterResponseInput = Input<typeof DescribeClusterResponse>;
