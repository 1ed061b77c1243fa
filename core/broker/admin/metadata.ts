import { asMillstreamError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { apiVersionsResponse, type RequestBody, type ResponseInput } from '../../protocol/api.ts';
import type { BrokerConfig } from '../config.ts';
import { ErrorCode, errorCodeOf } from '../kafka-error.ts';
import type { Handlers } from '../request.ts';
import type { Topic, Topics } from '../topics.ts';
import { allowedOperations } from './operations.ts';

/** Who we are, to clients. */
export interface Identity {
  nodeId: number;
  clusterId: string;
  rack: string | null;
  advertised: () => { host: string; port: number };
}

export interface MetadataOptions extends Identity {
  topics: Topics;
  config: BrokerConfig;
  logger: Logger;
}

type TopicAnswer = ResponseInput<3>['topics'][number];
const NO_TOPIC_ID = '0'.repeat(32);
/** A topic that is asked for by an unknown id has no name. */
const NULL_NAME_FROM = 12;
/** KeyType of FindCoordinator. */
const SHARE = 2;

/** ApiVersions, Metadata, DescribeCluster, FindCoordinator. */
export function metadataHandlers(options: MetadataOptions): Handlers {
  const { nodeId, clusterId, rack, advertised, topics } = options;
  return {
    18: () => apiVersionsResponse(),
    3: async (body, { apiVersion }) => {
      const everything = body.topics === null || (apiVersion === 0 && body.topics.length === 0);
      const answers = everything
        ? topics.list().map(topic => describe(topic, nodeId))
        : await Promise.all(
            (body.topics ?? []).map(async asked => {
              const found = await lookUp(options, asked, body.allowAutoTopicCreation);
              return found.name === null && apiVersion < NULL_NAME_FROM ? { ...found, name: '' } : found;
            }),
          );
      const operations = { topicAuthorizedOperations: allowedOperations('topic') };
      return {
        brokers: [{ nodeId, ...advertised(), rack }],
        clusterId,
        controllerId: nodeId,
        topics: body.includeTopicAuthorizedOperations ? answers.map(topic => ({ ...topic, ...operations })) : answers,
        ...(body.includeClusterAuthorizedOperations
          ? { clusterAuthorizedOperations: allowedOperations('cluster') }
          : {}),
      };
    },
    60: body => ({
      errorCode: ErrorCode.NONE,
      endpointType: body.endpointType,
      clusterId,
      controllerId: nodeId,
      brokers: [{ brokerId: nodeId, ...advertised(), rack, isFenced: false }],
      ...(body.includeClusterAuthorizedOperations ? { clusterAuthorizedOperations: allowedOperations('cluster') } : {}),
    }),
    10: (body, { apiVersion }) => {
      const refusal = coordinatorRefusal(body.keyType);
      const where = refusal
        ? { nodeId: -1, host: '', port: -1, errorCode: ErrorCode.INVALID_REQUEST, errorMessage: refusal }
        : { nodeId, ...advertised(), errorCode: ErrorCode.NONE, errorMessage: null };
      if (apiVersion < 4) return { ...where, coordinators: [] };
      return {
        errorCode: ErrorCode.NONE,
        errorMessage: null,
        nodeId: -1,
        host: '',
        port: -1,
        coordinators: body.coordinatorKeys.map(key => ({ key, ...where })),
      };
    },
  };
}

function coordinatorRefusal(keyType: number): string | null {
  if (keyType === SHARE) return 'This broker has no share groups.';
  return null;
}

async function lookUp(
  { topics, config, nodeId, logger }: MetadataOptions,
  asked: NonNullable<RequestBody<3>['topics']>[number],
  mayCreate: boolean,
): Promise<TopicAnswer> {
  const { name, topicId } = asked;
  if (name === null) {
    const topic = topics.byId(topicId);
    return topic ? describe(topic, nodeId) : failed(null, topicId, ErrorCode.UNKNOWN_TOPIC_ID);
  }
  const topic = topics.get(name);
  if (topic) return describe(topic, nodeId);
  if (!config.autoCreateTopics || !mayCreate) return failed(name, NO_TOPIC_ID, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  try {
    return describe(await topics.ensure({ name }), nodeId);
  } catch (error) {
    const errorCode = errorCodeOf(error);
    if (asMillstreamError(error).kind !== 'invalid') {
      logger.warn('a topic could not be created on first use', { topic: name, error });
    }
    return failed(name, NO_TOPIC_ID, errorCode);
  }
}

function failed(name: string | null, topicId: string, errorCode: number): TopicAnswer {
  return { errorCode, name, topicId, isInternal: false, partitions: [] };
}

function describe(topic: Topic, nodeId: number): TopicAnswer {
  return {
    errorCode: ErrorCode.NONE,
    name: topic.name,
    topicId: topic.id,
    isInternal: topic.internal,
    partitions: topic.partitions.map(({ index, log }) => ({
      errorCode: ErrorCode.NONE,
      partitionIndex: index,
      leaderId: nodeId,
      leaderEpoch: log.leaderEpoch,
      replicaNodes: [nodeId],
      isrNodes: [nodeId],
      offlineReplicas: [],
    })),
  };
}
