import { Output, Record } from 'millstream/assembly';

export function transform(r: Record, out: Output): void {
  const order = r.json();
  if (order === null) return;
  if (<i64>order.get('n').number() % 5 != 0) out.emit(r);
}
