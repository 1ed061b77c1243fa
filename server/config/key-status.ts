/*
 * Keys that are read and checked but do nothing (yet). Whoever sets one must be told; where silence would be dangerous
 * (encryption, where the data lives) the server refuses to start. Remove a line when its key begins to act.
 */

export interface KeyStatus {
  /** Dotted key; one that ends in `.*` stands for all below it. `*` alone stands for any one name. */
  key: string;
  severity: 'warning' | 'error';
  message: string;
  /** Only when the value is not one of these. */
  harmless?: readonly unknown[];
}

const later = (key: string, harmless?: readonly unknown[]): KeyStatus => ({
  key,
  severity: 'warning',
  message: 'is read but has no effect yet',
  ...(harmless ? { harmless } : {}),
});
const replaced = (key: string, message: string): KeyStatus => ({
  key,
  severity: 'warning',
  message: `has no effect here: ${message}`,
});

/** Where ignoring the key would leave something open that the file wants closed. */
const refused = (key: string, message: string): KeyStatus => ({ key, severity: 'error', message, harmless: [false] });

export const NOT_YET: readonly KeyStatus[] = [
  {
    key: 'network.tls.cert_file',
    severity: 'error',
    message: 'is set, but TLS is not served yet; remove it to serve plain text',
  },
  {
    key: 'network.tls.key_file',
    severity: 'error',
    message: 'is set, but TLS is not served yet; remove it to serve plain text',
  },
  {
    key: 'network.tls.client_ca_file',
    severity: 'error',
    message: 'is set, but client certificates are not checked yet',
  },
  {
    key: 'network.tls.client_auth',
    severity: 'error',
    message: 'is set, but client certificates are not checked yet',
    harmless: ['none'],
  },
  later('network.compat_routes', [false]),
  later('wal.capacity_bytes'),
  later('wal.upload_interval_ms'),
  later('wal.buffer_size'),
  later('cache.read_cache_size_bytes'),
  later('cache.eviction_policy', ['lru']),
  later('object_storage.*', ['none']),
  later('controller.endpoints', [[]]),
  later('controller.election_timeout_ms'),
  later('controller.heartbeat_interval_ms'),
  later('replication.min_in_sync_replicas', [1]),
  later('replication.ack_timeout_ms'),
  later('replication.max_replication_lag'),
  later('scaling.max_concurrent_additions'),
  later('scaling.max_concurrent_decommissions'),
  later('scaling.rebalance_timeout_ms'),
  later('scaling.health_check_timeout_ms'),
  later('operations.allow_runtime_config_updates'),
  later('etl.allow_env', [[]]),
  later('topics.*.replication_factor', [1]),
  later('topics.*.compression', ['producer']),
];

const inCluster = (key: string): KeyStatus => ({
  key,
  severity: 'warning',
  message: 'has no effect: topics live in a Kafka cluster ([engine] kind)',
});

/** With `engine.kind = "kafka"` there is no broker in this process. */
export const IN_CLUSTER: readonly KeyStatus[] = [
  {
    key: 'engine.kind',
    severity: 'warning',
    message:
      'is "kafka": topics keep what the cluster\'s own retention keeps, whoever has not read it (max_backlog, on_backlog), and trace, audit and records over HTTP are not there',
    harmless: ['embedded'],
  },
  {
    key: 'topics.*.etl_modules',
    severity: 'error',
    message: 'is set, but a Kafka cluster stores records as they come; use a pipeline',
    harmless: [[]],
  },
  inCluster('broker.id'),
  inCluster('broker.rack_id'),
  inCluster('broker.data_dir'),
  inCluster('broker.auto_create_topics'),
  inCluster('broker.default_partitions'),
  inCluster('broker.max_message_bytes'),
  inCluster('broker.accept_any_replication_factor'),
  inCluster('network.kafka_listen'),
  inCluster('network.advertised'),
  inCluster('network.max_connections'),
  inCluster('network.connection_timeout_ms'),
  inCluster('network.max_request_bytes'),
  inCluster('wal.*'),
  inCluster('cache.*'),
];

/** Where they live in this process, what is said of a cluster is not read. */
export const IN_PROCESS: readonly KeyStatus[] = [
  { key: 'engine.kafka.*', severity: 'warning', message: 'has no effect while engine.kind is "embedded"' },
];

/** What takes the place of RustMQ's keys. */
export const REPLACED: readonly KeyStatus[] = [
  replaced('network.quic_listen', 'Kafka clients connect to network.kafka_listen'),
  replaced('network.rpc_listen', 'a single node needs no listener between brokers'),
  replaced('network.quic_config.*', 'Kafka clients connect over TCP to network.kafka_listen'),
  replaced('controller.node_id', 'broker.id names this broker'),
  replaced('controller.raft_listen', 'clusters will keep their state in etcd: controller.endpoints'),
  replaced('controller.rpc_listen', 'clusters will keep their state in etcd: controller.endpoints'),
  replaced('controller.http_listen', 'the admin API is at network.http_listen'),
  replaced('controller.bind_addr', 'clusters will keep their state in etcd: controller.endpoints'),
  replaced('controller.rpc_port', 'clusters will keep their state in etcd: controller.endpoints'),
  replaced('controller.admin_port', 'the admin API is at network.http_listen'),
  replaced('controller.raft.*', 'clusters will keep their state in etcd: controller.endpoints'),
  replaced('raft.peers', 'clusters will keep their state in etcd: controller.endpoints'),
  replaced('replication.heartbeat_timeout_ms', 'controller.heartbeat_interval_ms will say it'),
  replaced('etl.pipelines', 'pipelines are files in broker.pipelines_dir'),
  replaced('etl.instance_pool.*', 'etl.workers sets the number of threads; each has the instances that it needs'),
  replaced('autobalancer.enabled', 'a single node has nothing to balance'),
  replaced('autobalancer.cpu_threshold', 'a single node has nothing to balance'),
  replaced('autobalancer.memory_threshold', 'a single node has nothing to balance'),
  replaced('autobalancer.cooldown_seconds', 'a single node has nothing to balance'),
  replaced('scaling.traffic_migration_rate', 'scaling.rebalance_timeout_ms bounds a move'),
  replaced('operations.upgrade_velocity', 'the platform that runs the brokers sets the pace of an upgrade'),
  replaced('operations.kubernetes.*', 'the Kubernetes files say it'),
  replaced('compaction.*', 'there are no small objects to merge; compaction of a topic is topics.NAME.cleanup'),
  replaced('rate_limiting.*', 'requests are not limited; put a proxy in front of network.http_listen'),
  refused('security.tls.enabled', 'is true, but TLS is not served yet; remove it to serve plain text'),
  refused('security.acl.enabled', 'is true, but nobody is refused yet; remove it to let everybody in'),
  replaced('security.*', 'certificates go into network.tls'),
];
