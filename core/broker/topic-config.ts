import type { CompactionSettings } from '../log/compaction/select.ts';
import type { LogConfig } from '../log/log.ts';
import type { BrokerConfig } from './config.ts';
import { refused } from './kafka-error.ts';

/*
 * Topic settings under Kafka's names. Only what a topic sets itself is stored; the rest follows the broker's
 * defaults, so that a changed default reaches every topic that did not choose. Settings of Kafka that have no
 * meaning here (replication, remote storage, ...) are known with Kafka's default, and may be set without effect:
 * tools that create topics with them work.
 */

export type ConfigType = 'boolean' | 'string' | 'int' | 'long' | 'double' | 'list';

export interface ConfigDefinition {
  type: ConfigType;
  default: string | ((broker: BrokerConfig) => string);
  /** Returns what is wrong with a value of the right type, or null. */
  check?: (value: string) => string | null;
  documentation: string;
  /** The broker-wide setting that gives the default, under Kafka's name. */
  brokerName?: string;
  /** Clients may not set it. */
  readOnly?: boolean;
}

/** Ours, not Kafka's. A topic that has it, even empty, may hold batches with fewer records than offsets. */
export const ETL_MODULES = 'etl.modules';

const LONG_MAX = '9223372036854775807';
const SEGMENT_MIN_BYTES = 14;

const oneOf =
  (...allowed: string[]) =>
  (value: string): string | null =>
    allowed.includes(value) ? null : `must be one of ${allowed.join(', ')}`;
const atLeast =
  (least: number) =>
  (value: string): string | null =>
    Number(value) >= least ? null : `must be at least ${least}`;
const eachOneOf =
  (...allowed: string[]) =>
  (value: string): string | null =>
    listOf(value).every(item => allowed.includes(item)) && listOf(value).length > 0
      ? null
      : `must be a list of ${allowed.join(', ')}`;

export const TOPIC_CONFIGS: Readonly<Record<string, ConfigDefinition>> = {
  'cleanup.policy': {
    type: 'list',
    default: 'delete',
    check: eachOneOf('delete', 'compact'),
    documentation: 'delete: old segments go by retention. compact: of each key the newest record stays. Or both.',
    brokerName: 'log.cleanup.policy',
  },
  'compression.type': {
    type: 'string',
    default: 'producer',
    check: value =>
      value === 'producer' ? null : 'must be producer: batches are stored with the codec their producer chose',
    documentation: 'Batches keep the codec of their producer.',
    brokerName: 'compression.type',
  },
  'delete.retention.ms': {
    type: 'long',
    default: '86400000',
    check: atLeast(0),
    documentation: 'How long compaction keeps tombstones and transaction markers after it first saw them.',
    brokerName: 'log.cleaner.delete.retention.ms',
  },
  [ETL_MODULES]: {
    type: 'list',
    default: '',
    documentation: 'Modules that records pass before they are stored. Set by [topics.NAME] etl_modules alone.',
    readOnly: true,
  },
  'file.delete.delay.ms': known('long', '60000', 'log.segment.delete.delay.ms'),
  'flush.messages': known('long', LONG_MAX, 'log.flush.interval.messages'),
  'flush.ms': known('long', LONG_MAX, 'log.flush.interval.ms'),
  'follower.replication.throttled.replicas': known('list', ''),
  'index.interval.bytes': known('int', '4096', 'log.index.interval.bytes'),
  'leader.replication.throttled.replicas': known('list', ''),
  'local.retention.bytes': known('long', '-2', 'log.local.retention.bytes'),
  'local.retention.ms': known('long', '-2', 'log.local.retention.ms'),
  'max.compaction.lag.ms': {
    type: 'long',
    default: LONG_MAX,
    check: atLeast(1),
    documentation: 'A record that is older makes the log due for compaction, whatever its dirty ratio.',
    brokerName: 'log.cleaner.max.compaction.lag.ms',
  },
  'max.message.bytes': {
    type: 'int',
    default: broker => String(broker.maxMessageBytes),
    check: atLeast(0),
    documentation: 'The most bytes that one batch may take.',
    brokerName: 'message.max.bytes',
  },
  'message.timestamp.after.max.ms': {
    type: 'long',
    default: LONG_MAX,
    check: atLeast(0),
    documentation: 'How far record timestamps may lie ahead of the broker clock.',
    brokerName: 'log.message.timestamp.after.max.ms',
  },
  'message.timestamp.before.max.ms': {
    type: 'long',
    default: LONG_MAX,
    check: atLeast(0),
    documentation: 'How far record timestamps may lie behind the broker clock.',
    brokerName: 'log.message.timestamp.before.max.ms',
  },
  'message.timestamp.type': {
    type: 'string',
    default: 'CreateTime',
    check: oneOf('CreateTime', 'LogAppendTime'),
    documentation: 'Whether records keep their producer timestamp or get the broker time.',
    brokerName: 'log.message.timestamp.type',
  },
  'min.cleanable.dirty.ratio': {
    type: 'double',
    default: '0.5',
    check: value => (Number(value) >= 0 && Number(value) <= 1 ? null : 'must be from 0 to 1'),
    documentation: 'Compaction waits until this part of the closed segments is not compacted yet.',
    brokerName: 'log.cleaner.min.cleanable.ratio',
  },
  'min.compaction.lag.ms': {
    type: 'long',
    default: '0',
    check: atLeast(0),
    documentation: 'Younger records are not compacted.',
    brokerName: 'log.cleaner.min.compaction.lag.ms',
  },
  'min.insync.replicas': known('int', '1', 'min.insync.replicas'),
  preallocate: known('boolean', 'true', 'log.preallocate'),
  'remote.storage.enable': known('boolean', 'false'),
  'retention.bytes': {
    type: 'long',
    default: broker => String(broker.retentionBytes),
    check: atLeast(-1),
    documentation: 'The most bytes a partition keeps; -1 is without bound.',
    brokerName: 'log.retention.bytes',
  },
  'retention.ms': {
    type: 'long',
    default: broker => String(broker.retentionMs),
    check: atLeast(-1),
    documentation: 'How long records are kept; -1 is for ever.',
    brokerName: 'log.retention.ms',
  },
  'segment.bytes': {
    type: 'int',
    default: broker => String(broker.segmentBytes),
    check: atLeast(SEGMENT_MIN_BYTES),
    documentation: 'A segment is rolled at this size.',
    brokerName: 'log.segment.bytes',
  },
  'segment.index.bytes': known('int', '10485760', 'log.index.size.max.bytes'),
  'segment.jitter.ms': known('long', '0', 'log.roll.jitter.ms'),
  'segment.ms': {
    type: 'long',
    default: broker => String(broker.segmentAgeMs),
    check: atLeast(1),
    documentation: 'A segment is rolled at this age.',
    brokerName: 'log.roll.ms',
  },
  'unclean.leader.election.enable': known('boolean', 'false', 'unclean.leader.election.enable'),
};

function known(type: ConfigType, value: string, brokerName?: string): ConfigDefinition {
  const documentation = 'Known for compatibility; has no effect here.';
  return { type, default: value, documentation, ...(brokerName === undefined ? {} : { brokerName }) };
}

/** Throws kind `invalid`, code INVALID_CONFIG, on an unknown name or a value that does not fit. */
export function checkTopicConfig(name: string, value: string): void {
  const definition = TOPIC_CONFIGS[name];
  if (!definition) throw refused('INVALID_CONFIG', `Unknown topic config name: ${name}`);
  const wrong = wrongType(definition.type, value) ?? definition.check?.(value) ?? null;
  if (wrong) throw refused('INVALID_CONFIG', `Invalid value ${value} for configuration ${name}: ${wrong}`);
}

function wrongType(type: ConfigType, value: string): string | null {
  switch (type) {
    case 'boolean':
      return /^(true|false)$/i.test(value) ? null : 'must be true or false';
    case 'int':
      return /^[+-]?\d{1,10}$/.test(value) && Math.abs(Number(value)) <= 2147483647 ? null : 'must be a 32-bit number';
    case 'long':
      return /^[+-]?\d{1,19}$/.test(value) ? null : 'must be a 64-bit number';
    case 'double':
      return value.trim() !== '' && Number.isFinite(Number(value)) ? null : 'must be a number';
    case 'string':
    case 'list':
      return null;
  }
}

export function effectiveValue(name: string, own: Readonly<Record<string, string>>, broker: BrokerConfig): string {
  const set = own[name];
  if (set !== undefined) return set;
  const fallback = TOPIC_CONFIGS[name]?.default ?? '';
  return typeof fallback === 'string' ? fallback : fallback(broker);
}

/** The settings that the broker looks at, parsed once. */
export interface TopicSettings {
  maxMessageBytes: number;
  appendTime: boolean;
  compacted: boolean;
  timestampAfterMaxMs: number;
  timestampBeforeMaxMs: number;
  /** What compaction goes by when the topic is compacted. */
  compaction: CompactionSettings;
  log: LogConfig;
}

export function topicSettings(own: Readonly<Record<string, string>>, broker: BrokerConfig): TopicSettings {
  const text = (name: string): string => effectiveValue(name, own, broker);
  const number = (name: string): number => Number(text(name));
  const policies = listOf(text('cleanup.policy'));
  const deletes = policies.includes('delete');
  const compacted = policies.includes('compact');
  const maxCompactionLagMs = number('max.compaction.lag.ms');
  return {
    maxMessageBytes: number('max.message.bytes'),
    appendTime: text('message.timestamp.type') === 'LogAppendTime',
    compacted,
    timestampAfterMaxMs: number('message.timestamp.after.max.ms'),
    timestampBeforeMaxMs: number('message.timestamp.before.max.ms'),
    compaction: {
      minCleanableDirtyRatio: number('min.cleanable.dirty.ratio'),
      minCompactionLagMs: number('min.compaction.lag.ms'),
      maxCompactionLagMs,
      deleteRetentionMs: number('delete.retention.ms'),
    },
    log: {
      segmentBytes: number('segment.bytes'),
      // The active segment is never compacted: it must close in time.
      segmentAgeMs: compacted ? Math.min(number('segment.ms'), maxCompactionLagMs) : number('segment.ms'),
      retentionMs: deletes ? number('retention.ms') : -1,
      retentionBytes: deletes ? number('retention.bytes') : -1,
    },
  };
}

function listOf(value: string): string[] {
  return value
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '');
}
