/** Which changes of a table's schema tables.patch and tables.update accept: additions and relaxations. */
import { ApiError } from './api-error.ts';
import { type Column, restType } from './schema.ts';

/** @throws ApiError `invalid`, with the first thing that is not additive */
export function checkSchemaChange(table: string, from: readonly Column[], to: readonly Column[], path = ''): void {
  const refuse = (why: string): never => {
    throw new ApiError('invalid', `Provided Schema does not match Table ${table}. ${why}`);
  };
  const next = new Map(to.map(column => [column.key, column]));
  for (const old of from) {
    const name = path + old.name;
    const now = next.get(old.key);
    if (!now) return refuse(`Field ${name} is missing in new schema`);
    next.delete(old.key);
    if (now.type !== old.type) {
      refuse(`Field ${name} has changed type from ${restType(old.type)} to ${restType(now.type)}`);
    }
    if (now.mode !== old.mode && !(old.mode === 'REQUIRED' && now.mode === 'NULLABLE')) {
      refuse(`Field ${name} has changed mode from ${old.mode} to ${now.mode}`);
    }
    if (now.maxLength !== null && (old.maxLength === null || now.maxLength < old.maxLength)) {
      refuse(`Field ${name} has changed its maximum length from ${old.maxLength ?? 'none'} to ${now.maxLength}`);
    }
    checkSchemaChange(table, old.fields, now.fields, `${name}.`);
  }
  for (const added of next.values()) {
    if (added.mode === 'REQUIRED') {
      refuse(`Cannot add required fields to an existing schema. (field: ${path}${added.name})`);
    }
  }
}
