import { Json, Output, Record, json } from 'millstream/assembly';
import { Editor } from './editor';
import { Field, addField } from './fields';
import { Method } from './method';

const root = new Field();
const method = new Method();
const editor = new Editor(method);

/** What module.toml says of the config is checked here again: a module must not scrub less than it was told to. */
export function configure(config: Json): string | null {
  const fields = config.get('fields').elements();
  if (fields.length == 0) return '`fields` must be a list of at least one path';
  for (let i = 0; i < fields.length; i++) {
    const path = fields[i];
    if (!path.isString || path.text().length == 0) return '`fields` must hold paths, not ' + path.raw.toString();
    addField(root, json.path(path.text()));
  }
  root.merge();
  return method.configure(config);
}

export function transform(r: Record, out: Output): void {
  if (r.isTombstone) return out.emit(r);
  if (!editor.run(r.value, root)) return r.fail('INVALID_JSON', json.rejection(r.value));
  if (editor.count > 0) r.setValue(editor.apply(r.value));
  out.emit(r);
}
