// @ts-check
/** @typedef {import('SDK/guest/record.ts').Record} Record */

let bigFrom = 1000;

/**
 * Called once, before any record; what it throws refuses the configuration.
 * @param {{ big_from?: number }} config
 */
export function configure(config) {
  bigFrom = config.big_from ?? bigFrom;
  if (!(bigFrom >= 0)) throw new Error('`big_from` must not be negative');
}

/**
 * Called for each record: gives a record, several, or null, which drops it. `record.to('name')` names an output.
 * @param {Record} record
 */
export function transform(record) {
  const order = record.json(); // what is no JSON is a dead letter by now
  if (order.test) return null;
  if (typeof order.total !== 'number') return record.fail('NO_TOTAL', 'an order has a `total`, a number');
  const big = order.total >= bigFrom;
  return record.with({ value: { ...order, big }, headers: big ? { size: 'big' } : {} });
}
