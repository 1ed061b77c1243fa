import { Json, Output, Record } from 'millstream/assembly';
import { Field } from './field';

const fields: Field[] = [];

export function configure(config: Json): string | null {
  const list = config.get('fields').elements();
  if (list.length == 0) return '`fields` must be a list of at least one field';
  for (let i = 0; i < list.length; i++) {
    const field = new Field(list[i]);
    if (field.refusal !== null) return field.refusal;
    fields.push(field);
  }
  return null;
}

export function transform(r: Record, out: Output): void {
  let doc = r.json();
  if (doc === null) return;
  if (!doc.isObject) return r.fail('NO_OBJECT', 'the value is JSON, but no object: there is no place for a field');
  for (let i = 0, n = fields.length; i < n; i++) doc = unchecked(fields[i]).apply(doc!, r);
  r.setValue(doc!.raw);
  out.emit(r);
}
