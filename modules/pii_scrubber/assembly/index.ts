import { Bytes, Json, Output, Record, json } from 'millstream/assembly';
import { Editor } from './editor';
import { Field, addField } from './fields';
import { Method } from './method';

let root: Field = new Field();
let editor: Editor = new Editor(new Method());

/** What module.toml says of the config is checked again here: a module must not scrub less than it was told to. */
export function configure(config: Json): string | null {
  const fields = config.get('fields');
  if (!fields.isArray || fields.length == 0) return '`fields` must be a list of at least one path';
  for (let i = 0, n = fields.length; i < n; i++) {
    const path = fields.at(i);
    if (!path.isString || path.text().length == 0)
      return '`fields` holds something that is not a path: ' + path.raw.toString();
    addField(root, json.path(path.text()));
  }
  root.merge();
  const method = new Method();
  const reason = method.configure(config);
  editor = new Editor(method);
  return reason;
}

export function transform(r: Record, out: Output): void {
  const value = r.value;
  if (!editor.run(value.ptr, value.ptr + value.length, root)) {
    r.fail('INVALID_JSON', json.rejection(value));
    return;
  }
  if (editor.count > 0) r.setValue(editor.apply(value));
  out.emit(r);
}
