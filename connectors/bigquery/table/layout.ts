import type { NewTable } from '../api/tables.ts';
import type { BigQueryConfig } from '../config.ts';
import type { Fields } from '../encode/names.ts';
import type { RestField } from '../schema/columns.ts';
import { inferFields, restFieldOf, withAdded } from './infer.ts';

/** A new table as `[create]` says; without declared columns they come from the rows at hand. */
export function newTable(create: BigQueryConfig['create'], rows: readonly Fields[]): NewTable {
  let fields: RestField[] = (create.columns ?? []).map(restFieldOf);
  if (!create.columns) for (const row of rows) fields = withAdded(fields, inferFields(row)) ?? fields;
  const keys = new Set(create.primary_key.map(name => name.toLowerCase()));
  fields = fields.map(field => (keys.has(field.name.toLowerCase()) ? { ...field, mode: 'REQUIRED' } : field));
  const { partition_by: by, partition_expiration: expiration, cluster_by: cluster, primary_key: key } = create;
  return {
    fields,
    ...(by === undefined
      ? {}
      : {
          timePartitioning: {
            type: create.partition_unit,
            ...(by === '_PARTITIONTIME' ? {} : { field: by }),
            ...(expiration === undefined ? {} : { expirationMs: String(expiration) }),
          },
          requirePartitionFilter: create.require_partition_filter,
        }),
    ...(cluster.length === 0 ? {} : { clustering: { fields: cluster } }),
    ...(key.length === 0 ? {} : { tableConstraints: { primaryKey: { columns: key } } }),
  };
}
