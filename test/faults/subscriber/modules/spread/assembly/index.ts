import { Output, Record, json } from 'millstream/assembly';

export function transform(r: Record, out: Output): void {
  const order = r.json();
  if (order === null) return;
  const number = order.get('n').raw.toString();
  const items = order.get('items').elements();
  for (let i = 0; i < items.length; i++) {
    const item = order.remove('items').set('id', json.quote(number + '.' + items[i].text()));
    r.setValue(item.raw);
    out.emit(r);
  }
}
