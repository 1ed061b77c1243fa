/** The rows of the benchmarks of BigQuery: six columns, about 200 bytes of JSON. */

export const FIELDS = [
  { name: 'id', type: 'INT64', mode: 'REQUIRED' },
  { name: 'at', type: 'TIMESTAMP', mode: 'NULLABLE' },
  { name: 'customer', type: 'STRING', mode: 'NULLABLE' },
  { name: 'amount', type: 'FLOAT64', mode: 'NULLABLE' },
  { name: 'paid', type: 'BOOL', mode: 'NULLABLE' },
  { name: 'note', type: 'STRING', mode: 'NULLABLE' },
];

export type BenchRow = Record<'id' | 'at' | 'customer' | 'amount' | 'paid' | 'note', unknown>;

/** `at` counts microseconds since 1970. */
export const row = (n: number): BenchRow => ({
  id: 1_000_000_000 + n * 7919,
  at: 1_767_225_600_000_000 + n * 1_000_003,
  customer: `customer-${n % 97}`,
  amount: (n * 137) / 100,
  paid: n % 3 === 0,
  note: `note ${n} of the usual length, which says nothing in particular`.padEnd(90, '.'),
});

export const rowText = (n: number): string => JSON.stringify(row(n));
