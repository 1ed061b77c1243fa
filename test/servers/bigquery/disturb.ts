/** Faults that change a table behind the back of whoever writes to it. */
import type { Action } from './faults.ts';
import { toRest } from './model/schema.ts';
import type { Fake } from './rest/context.ts';
import type { TableRef } from './store/table.ts';

export function parseTableId(id: string): TableRef | null {
  const match = /^(.+):([^:.]+)\.(.+)$/.exec(id);
  return match && { project: match[1] ?? '', dataset: match[2] ?? '', table: match[3] ?? '' };
}

/** Does nothing for other actions, and when there is no such table. */
export function disturbTable(fake: Fake, id: string, action: Action): void {
  if (action.kind !== 'add-column' && action.kind !== 'drop-table') return;
  const ref = parseTableId(id);
  const table = ref && [...fake.warehouse.allTables()].find(each => each.id === id);
  if (!ref || !table) return;
  if (action.kind === 'drop-table') fake.warehouse.dropTable(ref);
  else table.patch({ schema: { fields: [...toRest(table.columns), action.field] } }, fake.options.clock.now());
}
