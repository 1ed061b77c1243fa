/** The broker's settings; server/config fills them from `millstream.toml` (spec/surface.md 1). */
export interface BrokerConfig {
  /** Metadata requests may create topics. */
  autoCreateTopics: boolean;
  defaultPartitions: number;
  /** Default of max.message.bytes: the most that one batch may take. */
  maxMessageBytes: number;
  /** Defaults of retention.ms, retention.bytes, segment.bytes and segment.ms; -1 means for ever / without bound. */
  retentionMs: number;
  retentionBytes: number;
  segmentBytes: number;
  segmentAgeMs: number;
  /** Replication factors other than 1 are taken (and reported as 1), so that scripts for clusters run here. */
  acceptAnyReplicationFactor: boolean;
  /** How long positions of an empty group are kept; groups named `millstream.*` keep theirs for ever. */
  offsetsRetentionMs: number;
  /** How long the first join of an empty group waits for more members. Joins of one turn meet anyway. */
  groupInitialRebalanceDelayMs: number;
  groupMinSessionTimeoutMs: number;
  groupMaxSessionTimeoutMs: number;
  /** The state of a producer that wrote nothing for so long is forgotten. */
  producerIdExpirationMs: number;
  /** The longest transaction.timeout.ms that a producer may ask for. */
  transactionMaxTimeoutMs: number;
  /** A transactional id that had no transaction for so long is forgotten; those named `millstream.*` stay. */
  transactionalIdExpirationMs: number;
  /** segment.bytes of the internal topics (committed offsets, transactions): a start reads what is not compacted. */
  internalSegmentBytes: number;
  /** How often retention and expiry run. */
  housekeepingIntervalMs: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;

export const DEFAULT_BROKER_CONFIG: BrokerConfig = {
  autoCreateTopics: true,
  defaultPartitions: 4,
  maxMessageBytes: 1048588,
  retentionMs: 7 * DAY_MS,
  retentionBytes: -1,
  segmentBytes: 1073741824,
  segmentAgeMs: 7 * DAY_MS,
  acceptAnyReplicationFactor: true,
  offsetsRetentionMs: 7 * DAY_MS,
  groupInitialRebalanceDelayMs: 0,
  groupMinSessionTimeoutMs: 6000,
  groupMaxSessionTimeoutMs: 1800000,
  producerIdExpirationMs: DAY_MS,
  transactionMaxTimeoutMs: 15 * 60_000,
  transactionalIdExpirationMs: 7 * DAY_MS,
  internalSegmentBytes: 4 * 1024 * 1024,
  housekeepingIntervalMs: 60_000,
};
