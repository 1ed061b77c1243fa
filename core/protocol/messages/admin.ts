import { array, bool, type Decoded, type Input, int16, int32, int64, int8, message, string, uuid } from '../schema.ts';

export const CreateTopicsRequest = message('CreateTopicsRequest', '2-7', '5+', {
  topics: array({
    name: string(),
    /** -1: the broker's default (v4+). */
    numPartitions: int32(),
    replicationFactor: int16(),
    assignments: array({ partitionIndex: int32(), brokerIds: array(int32()) }),
    configs: array({ name: string(), value: string('0+', { nullable: '0+' }) }),
  }),
  timeoutMs: int32('0+', { default: 60_000 }),
  validateOnly: bool('1+', { default: false }),
});
export type CreateTopicsRequest = Decoded<typeof CreateTopicsRequest>;

export const CreateTopicsResponse = message('CreateTopicsResponse', '2-7', '5+', {
  throttleTimeMs: int32('2+'),
  topics: array({
    name: string(),
    topicId: uuid('7+'),
    errorCode: int16(),
    errorMessage: string('1+', { nullable: '0+', default: null }),
    topicConfigErrorCode: int16('5+', { tag: 0 }),
    numPartitions: int32('5+', { default: -1 }),
    replicationFactor: int16('5+', { default: -1 }),
    configs: array(
      {
        name: string(),
        value: string('5+', { nullable: '5+' }),
        readOnly: bool(),
        configSource: int8('5+', { default: -1 }),
        isSensitive: bool(),
      },
      '5+',
      { nullable: '5+' },
    ),
  }),
});
export type CreateTopicsResponse = Decoded<typeof CreateTopicsResponse>;
export type CreateTopicsResponseInput = Input<typeof CreateTopicsResponse>;

export const DeleteTopicsRequest = message('DeleteTopicsRequest', '1-6', '4+', {
  topics: array({ name: string('6+', { nullable: '6+', default: null }), topicId: uuid('6+') }, '6+'),
  topicNames: array(string(), '0-5'),
  timeoutMs: int32(),
});
export type DeleteTopicsRequest = Decoded<typeof DeleteTopicsRequest>;

export const DeleteTopicsResponse = message('DeleteTopicsResponse', '1-6', '4+', {
  throttleTimeMs: int32('1+'),
  responses: array({
    name: string('0+', { nullable: '6+' }),
    topicId: uuid('6+'),
    errorCode: int16(),
    errorMessage: string('5+', { nullable: '5+', default: null }),
  }),
});
export type DeleteTopicsResponse = Decoded<typeof DeleteTopicsResponse>;
export type DeleteTopicsResponseInput = Input<typeof DeleteTopicsResponse>;

export const CreatePartitionsRequest = message('CreatePartitionsRequest', '0-3', '2+', {
  topics: array({
    name: string(),
    /** The new total. */
    count: int32(),
    assignments: array({ brokerIds: array(int32()) }, '0+', { nullable: '0+' }),
  }),
  timeoutMs: int32(),
  validateOnly: bool(),
});
export type CreatePartitionsRequest = Decoded<typeof CreatePartitionsRequest>;

export const CreatePartitionsResponse = message('CreatePartitionsResponse', '0-3', '2+', {
  throttleTimeMs: int32('0+', { default: 0 }),
  results: array({
    name: string(),
    errorCode: int16(),
    errorMessage: string('0+', { nullable: '0+', default: null }),
  }),
});
export type CreatePartitionsResponse = Decoded<typeof CreatePartitionsResponse>;
export type CreatePartitionsResponseInput = Input<typeof CreatePartitionsResponse>;

export const DeleteRecordsRequest = message('DeleteRecordsRequest', '0-2', '2+', {
  topics: array({
    name: string(),
    /** Offset -1: up to the high watermark. */
    partitions: array({ partitionIndex: int32(), offset: int64() }),
  }),
  timeoutMs: int32(),
});
export type DeleteRecordsRequest = Decoded<typeof DeleteRecordsRequest>;

export const DeleteRecordsResponse = message('DeleteRecordsResponse', '0-2', '2+', {
  throttleTimeMs: int32('0+', { default: 0 }),
  topics: array({
    name: string(),
    partitions: array({ partitionIndex: int32(), lowWatermark: int64(), errorCode: int16() }),
  }),
});
export type DeleteRecordsResponse = Decoded<typeof DeleteRecordsResponse>;
export type DeleteRecordsResponseInput = Input<typeof DeleteRecordsResponse>;

export const DescribeConfigsRequest = message('DescribeConfigsRequest', '1-4', '4+', {
  resources: array({
    /** 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group. */
    resourceType: int8(),
    resourceName: string(),
    /** null: all of them. */
    configurationKeys: array(string(), '0+', { nullable: '0+' }),
  }),
  includeSynonyms: bool('1+', { default: false }),
  includeDocumentation: bool('3+', { default: false }),
});
export type DescribeConfigsRequest = Decoded<typeof DescribeConfigsRequest>;

export const DescribeConfigsResponse = message('DescribeConfigsResponse', '1-4', '4+', {
  throttleTimeMs: int32('0+', { default: 0 }),
  results: array({
    errorCode: int16(),
    errorMessage: string('0+', { nullable: '0+', default: null }),
    resourceType: int8(),
    resourceName: string(),
    configs: array({
      name: string(),
      value: string('0+', { nullable: '0+' }),
      readOnly: bool(),
      /** 1 topic, 2 dynamic broker, 3 dynamic default broker, 4 static broker, 5 default. */
      configSource: int8('1+', { default: -1 }),
      isSensitive: bool(),
      synonyms: array({ name: string(), value: string('1+', { nullable: '0+' }), source: int8() }, '1+'),
      /** 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password. */
      configType: int8('3+', { default: 0 }),
      documentation: string('3+', { nullable: '0+', default: null }),
    }),
  }),
});
export type DescribeConfigsResponse = Decoded<typeof DescribeConfigsResponse>;
export type DescribeConfigsResponseInput = Input<typeof DescribeConfigsResponse>;
