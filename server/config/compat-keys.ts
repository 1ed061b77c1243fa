import { z } from 'zod';
import { duration, size } from '../../core/base/units.ts';

/*
 * Keys of a RustMQ `broker.toml` that have no effect here (spec/surface.md 7): taken with their types, so that such a
 * file starts the server; `config check` names each with what replaces it (REPLACED in key-status.ts).
 */

const maybeText = z.string().optional();
const maybeNumber = z.number().optional();
const maybeFlag = z.boolean().optional();
const maybeDuration = duration().optional();
/** Tables whose inside is of no interest to us. */
const anyTable = z.record(z.string(), z.unknown()).optional();

export const network = {
  quic_listen: maybeText,
  rpc_listen: maybeText,
  quic_config: z.record(z.string(), z.union([z.number(), z.string()])).optional(),
};

export const controller = {
  node_id: z.union([z.number(), z.string()]).optional(),
  raft_listen: maybeText,
  rpc_listen: maybeText,
  http_listen: maybeText,
  bind_addr: maybeText,
  rpc_port: maybeNumber,
  admin_port: maybeNumber,
  raft: anyTable,
};

export const replication = { heartbeat_timeout_ms: maybeDuration };

export const etl = { pipelines: z.array(z.unknown()).optional(), instance_pool: anyTable };

export const scaling = { traffic_migration_rate: maybeNumber };

export const operations = {
  upgrade_velocity: maybeNumber,
  kubernetes: z
    .strictObject({
      use_stateful_sets: maybeFlag,
      pvc_storage_class: maybeText,
      wal_volume_size: size().optional(),
      enable_pod_affinity: maybeFlag,
    })
    .optional(),
};

export const sections = {
  raft: z.strictObject({ peers: z.array(z.unknown()).optional() }).optional(),
  autobalancer: z
    .strictObject({
      enabled: maybeFlag,
      cpu_threshold: maybeNumber,
      memory_threshold: maybeNumber,
      cooldown_seconds: duration({ bareUnitMs: 1000 }).optional(),
    })
    .optional(),
  compaction: anyTable,
  rate_limiting: anyTable,
  security: anyTable,
};

/** RustMQ writes `storage_type = { Local = { path = "..." } }` too. */
export function localStorage(value: unknown): { local: string } | null {
  const parsed = z.strictObject({ Local: z.strictObject({ path: z.string() }) }).safeParse(value);
  return parsed.success ? { local: parsed.data.Local.path } : null;
}
