import { Json, Output, Record, json } from 'millstream/assembly';

let bigFrom: f64 = 1000;

/** Called once, before any record; a text refuses the configuration. */
export function configure(config: Json): string | null {
  bigFrom = config.get('big_from').number(bigFrom);
  return bigFrom < 0 ? '`big_from` must not be negative' : null;
}

/** Called for each record. What is not emitted is dropped; `out.to('name', r)` sends it to a named output. */
export function transform(r: Record, out: Output): void {
  const order = r.json(); // what is no JSON is a dead letter by now
  if (order === null) return;
  if (order.get('test').bool()) return;
  const total = order.get('total');
  if (!total.isNumber) return r.fail('NO_TOTAL', 'an order has a `total`, a number');
  const big = total.number() >= bigFrom;
  r.setValue(order.set('big', json.bool(big)).raw);
  if (big) r.setHeader('size', 'big');
  out.emit(r);
}
