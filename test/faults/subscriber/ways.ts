/** The five ways to write, each with a table and a subscriber of its own. */
import { subscriberName } from '../../../server/subscriber/subscriber.ts';
import { COLUMNS, MAPPING, OUTPUT } from './orders.ts';

export const WAYS = ['inserts', 'default', 'committed', 'buffered', 'pending'] as const;
export type Way = (typeof WAYS)[number];

export const isExactlyOnce = (way: Way): boolean => way !== 'inserts' && way !== 'default';

export const PROJECT = 'p';
export const DATASET = 'd';

/** Topic of the rows that the way's subscriber refused. */
export const deadTopicOf = (way: Way): string => `dead.${way}`;

export const groupOf = (way: Way): string => `millstream.bigquery-subscriber.${subscriberName(OUTPUT, DATASET, way)}`;

export const writeMethodOf = (way: Way): string =>
  way === 'inserts'
    ? 'write_method = "streaming_inserts"'
    : `write_method = { storage_write_api = { stream = "${way}" } }`;

/** Small batches and short waits, so that much happens in a short life. */
export const subscriberToml = (way: Way, broker: string, more = ''): string => `
project_id = "${PROJECT}"
dataset = "${DATASET}"
table = "${way}"
${writeMethodOf(way)}
batch = { records = 10, linger = "20ms" }
retry = { from = "20ms", to = "500ms" }
dead_letter = { action = "dead_letter_queue", topic = "${deadTopicOf(way)}" }
[subscription]
topic = "${OUTPUT}"
broker_endpoints = ["${broker}"]
${more}
${MAPPING}
`;

export const endpointsOf = (fake: { restUrl: string; grpcAddress: string }): Record<string, string> => ({
  BIGQUERY_EMULATOR_HOST: fake.restUrl,
  BIGQUERY_STORAGE_EMULATOR_HOST: fake.grpcAddress,
});

export async function makeTable(restUrl: string, table: string, fields: readonly object[] = COLUMNS): Promise<void> {
  const answer = await fetch(`${restUrl}/bigquery/v2/projects/${PROJECT}/datasets/${DATASET}/tables`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      tableReference: { projectId: PROJECT, datasetId: DATASET, tableId: table },
      schema: { fields },
    }),
  });
  if (!answer.ok) throw new Error(`table ${table}: ${answer.status} ${await answer.text()}`);
}

/** Who answers SQL. */
export interface Sql {
  sql(text: string): Promise<Record<string, unknown>[]>;
}

/** How often each id is in the table. */
export async function copiesIn(bigquery: Sql, table: string): Promise<Map<string, number>> {
  const rows = await bigquery.sql(`SELECT id, COUNT(*) AS copies FROM ${DATASET}.${table} GROUP BY id`);
  return new Map(rows.map(({ id, copies }) => [String(id), Number(copies)]));
}

/** What is wrong with a table, null when nothing is. `allowed`: how many copies more an id may have. */
export function judge(
  copies: ReadonlyMap<string, number>,
  due: readonly string[],
  allowed: { get(id: string): number | undefined } = new Map(),
): { wrong: string | null; twice: number } {
  const open = new Set(due);
  let twice = 0;
  for (const [id, count] of copies) {
    if (!open.delete(id)) return { wrong: `${id} is there, and nobody wrote it`, twice };
    twice += count - 1;
    if (count > 1 + (allowed.get(id) ?? 0)) return { wrong: `${id} is there ${count} times`, twice };
  }
  const lost = [...open].slice(0, 20).join(' ');
  return { wrong: open.size > 0 ? `${open.size} are missing: ${lost}` : null, twice };
}
