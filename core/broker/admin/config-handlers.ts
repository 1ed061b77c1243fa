import type { ResponseInput } from '../../protocol/api.ts';
import type { BrokerConfig } from '../config.ts';
import { ErrorCode, errorCodeOf, refused } from '../kafka-error.ts';
import type { Handlers } from '../request.ts';
import { type ConfigType, effectiveValue, TOPIC_CONFIGS } from '../topic-config.ts';
import type { Topics } from '../topics.ts';

type Result = ResponseInput<32>['results'][number];
type Entry = Result['configs'][number];

const RESOURCE = { topic: 2, broker: 4 } as const;
const SOURCE = { topic: 1, staticBroker: 4, default: 5 } as const;
const TYPE: Readonly<Record<ConfigType, number>> = { boolean: 1, string: 2, int: 3, long: 5, double: 6, list: 7 };

interface DescribeOptions {
  keys?: readonly string[] | null;
  includeSynonyms?: boolean;
  includeDocumentation?: boolean;
}

/** DescribeConfigs for topics and for this broker: everything that is known, with where its value comes from. */
export function configHandlers(topics: Topics, config: BrokerConfig, nodeId: number): Handlers {
  return {
    32: body => ({
      results: body.resources.map(({ resourceType, resourceName, configurationKeys }): Result => {
        const options = {
          keys: configurationKeys,
          includeSynonyms: body.includeSynonyms,
          includeDocumentation: body.includeDocumentation,
        };
        const base = { resourceType, resourceName };
        try {
          return { ...base, errorCode: ErrorCode.NONE, configs: describe(resourceType, resourceName, options) };
        } catch (error) {
          const errorMessage = error instanceof Error ? error.message : null;
          return { ...base, errorCode: errorCodeOf(error), errorMessage, configs: [] };
        }
      }),
    }),
  };

  function describe(resourceType: number, resourceName: string, options: DescribeOptions): Entry[] {
    if (resourceType === RESOURCE.topic) {
      return describeTopicConfigs(topics.require(resourceName).configs, config, options);
    }
    if (resourceType === RESOURCE.broker) {
      if (resourceName !== '' && resourceName !== String(nodeId)) {
        throw refused('INVALID_REQUEST', `This is broker ${nodeId}, not ${resourceName}.`);
      }
      return resourceName === '' ? [] : describeBrokerConfigs(config, nodeId, options);
    }
    throw refused('INVALID_REQUEST', `Resources of type ${resourceType} have no settings here.`);
  }
}

export function describeTopicConfigs(
  own: Readonly<Record<string, string>>,
  config: BrokerConfig,
  options: DescribeOptions,
): Entry[] {
  return Object.entries(TOPIC_CONFIGS)
    .filter(([name]) => options.keys?.includes(name) ?? true)
    .map(([name, definition]): Entry => {
      const value = effectiveValue(name, own, config);
      const fromTopic = own[name] !== undefined;
      const brokerName = definition.brokerName ?? name;
      const fallback = { name: brokerName, value: effectiveValue(name, {}, config), source: SOURCE.default };
      return {
        name,
        value,
        readOnly: definition.readOnly ?? false,
        configSource: fromTopic ? SOURCE.topic : SOURCE.default,
        isSensitive: false,
        synonyms: options.includeSynonyms
          ? [...(fromTopic ? [{ name, value, source: SOURCE.topic }] : []), fallback]
          : [],
        configType: TYPE[definition.type],
        documentation: options.includeDocumentation ? definition.documentation : null,
      };
    });
}

function describeBrokerConfigs(config: BrokerConfig, nodeId: number, options: DescribeOptions): Entry[] {
  const values: [name: string, value: string, type: ConfigType][] = [
    ['broker.id', String(nodeId), 'int'],
    ['node.id', String(nodeId), 'int'],
    ['num.partitions', String(config.defaultPartitions), 'int'],
    ['default.replication.factor', '1', 'int'],
    ['auto.create.topics.enable', String(config.autoCreateTopics), 'boolean'],
    ['delete.topic.enable', 'true', 'boolean'],
    ['offsets.topic.num.partitions', '1', 'int'],
    ['offsets.topic.replication.factor', '1', 'int'],
    ['offsets.retention.minutes', String(Math.floor(config.offsetsRetentionMs / 60_000)), 'int'],
    ['group.initial.rebalance.delay.ms', String(config.groupInitialRebalanceDelayMs), 'int'],
    ['group.min.session.timeout.ms', String(config.groupMinSessionTimeoutMs), 'int'],
    ['group.max.session.timeout.ms', String(config.groupMaxSessionTimeoutMs), 'int'],
    ['producer.id.expiration.ms', String(config.producerIdExpirationMs), 'int'],
  ];
  for (const [name, definition] of Object.entries(TOPIC_CONFIGS)) {
    if (definition.brokerName === undefined) continue;
    values.push([definition.brokerName, effectiveValue(name, {}, config), definition.type]);
  }
  return values
    .filter(([name]) => options.keys?.includes(name) ?? true)
    .map(
      ([name, value, type]): Entry => ({
        name,
        value,
        readOnly: true,
        configSource: SOURCE.staticBroker,
        isSensitive: false,
        synonyms: options.includeSynonyms ? [{ name, value, source: SOURCE.staticBroker }] : [],
        configType: TYPE[type],
        documentation: null,
      }),
    );
}
