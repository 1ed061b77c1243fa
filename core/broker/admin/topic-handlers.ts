import type { RequestBody, ResponseInput } from '../../protocol/api.ts';
import type { BrokerConfig } from '../config.ts';
import { ErrorCode, errorCodeOf, refused } from '../kafka-error.ts';
import type { Handlers } from '../request.ts';
import { TOPIC_CONFIGS } from '../topic-config.ts';
import type { NewTopic, Topics } from '../topics.ts';
import { describeTopicConfigs } from './config-handlers.ts';

type CreatableTopic = RequestBody<19>['topics'][number];
type Created = ResponseInput<19>['topics'][number];
const NO_TOPIC_ID = '0'.repeat(32);

/** CreateTopics, DeleteTopics, CreatePartitions. */
export function topicHandlers(topics: Topics, config: BrokerConfig): Handlers {
  return {
    19: async body => {
      const names = body.topics.map(({ name }) => name);
      return {
        topics: await Promise.all(
          body.topics.map(async (asked): Promise<Created> => {
            try {
              if (names.filter(name => name === asked.name).length > 1) {
                throw refused('INVALID_REQUEST', `Topic '${asked.name}' stands twice in the request.`);
              }
              return await create(topics, config, asked, body.validateOnly);
            } catch (error) {
              return {
                name: asked.name,
                topicId: NO_TOPIC_ID,
                errorCode: errorCodeOf(error),
                errorMessage: messageOf(error),
                configs: null,
              };
            }
          }),
        ),
      };
    },
    20: async (body, { apiVersion }) => {
      const asked =
        apiVersion >= 6
          ? body.topics
          : body.topicNames.map(name => ({ name: name as string | null, topicId: NO_TOPIC_ID }));
      return {
        responses: await Promise.all(
          asked.map(async ({ name, topicId }) => {
            const topic = name === null ? topics.byId(topicId) : topics.get(name);
            const known = { name: topic?.name ?? name, topicId: topic?.id ?? topicId };
            if (!topic) {
              const errorCode = name === null ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
              return { ...known, errorCode, errorMessage: 'There is no such topic.' };
            }
            try {
              if (topic.internal) throw refused('INVALID_REQUEST', `${topic.name} is an internal topic.`);
              await topics.delete(topic.name);
              return { ...known, errorCode: ErrorCode.NONE };
            } catch (error) {
              return { ...known, errorCode: errorCodeOf(error), errorMessage: messageOf(error) };
            }
          }),
        ),
      };
    },
    37: async body => ({
      results: await Promise.all(
        body.topics.map(async ({ name, count, assignments }) => {
          try {
            const topic = topics.require(name);
            if (topic.internal) throw refused('INVALID_REQUEST', `${name} is an internal topic.`);
            topics.checkMorePartitions(topic, count);
            if (assignments && assignments.length !== count - topic.partitions.length) {
              throw refused('INVALID_REPLICA_ASSIGNMENT', 'There must be one assignment for each new partition.');
            }
            if (!body.validateOnly) await topics.addPartitions(name, count);
            return { name, errorCode: ErrorCode.NONE };
          } catch (error) {
            return { name, errorCode: errorCodeOf(error), errorMessage: messageOf(error) };
          }
        }),
      ),
    }),
  };
}

async function create(
  topics: Topics,
  config: BrokerConfig,
  asked: CreatableTopic,
  validateOnly: boolean,
): Promise<Created> {
  const spec = specOf(asked, config);
  topics.check(spec);
  const topic = validateOnly ? null : await topics.create(spec);
  return {
    name: asked.name,
    topicId: topic?.id ?? NO_TOPIC_ID,
    errorCode: ErrorCode.NONE,
    numPartitions: topic?.partitions.length ?? spec.partitions ?? config.defaultPartitions,
    replicationFactor: 1,
    configs: describeTopicConfigs(topic?.configs ?? spec.configs ?? {}, config, {}),
  };
}

function specOf(asked: CreatableTopic, config: BrokerConfig): NewTopic {
  const configs: Record<string, string> = {};
  for (const { name, value } of asked.configs) {
    if (value === null) throw refused('INVALID_CONFIG', `Null value not supported for topic configs: ${name}`);
    if (TOPIC_CONFIGS[name]?.readOnly) throw refused('INVALID_CONFIG', `Clients cannot set ${name}.`);
    configs[name] = value;
  }
  const spec: NewTopic = { name: asked.name, configs };
  if (asked.assignments.length > 0) {
    if (asked.numPartitions !== -1 || asked.replicationFactor !== -1) {
      throw refused(
        'INVALID_REQUEST',
        'Replica assignments stand in the place of the partition count and replication.',
      );
    }
    const indexes = asked.assignments.map(({ partitionIndex }) => partitionIndex).toSorted((a, b) => a - b);
    if (indexes.some((index, i) => index !== i)) {
      throw refused('INVALID_REPLICA_ASSIGNMENT', 'Partitions must be numbered from 0 without gaps.');
    }
    return { ...spec, partitions: indexes.length };
  }
  const replicas = asked.replicationFactor;
  if (replicas !== -1 && (replicas < 1 || (replicas > 1 && !config.acceptAnyReplicationFactor))) {
    throw refused('INVALID_REPLICATION_FACTOR', `Replication factor ${replicas} is not possible on one broker.`);
  }
  return asked.numPartitions === -1 ? spec : { ...spec, partitions: asked.numPartitions };
}

function messageOf(error: unknown): string | null {
  return error instanceof Error ? error.message : null;
}
