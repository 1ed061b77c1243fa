import type { Audit } from '../lineage/audit-types.ts';
import { type Command, EXIT, table } from './command.ts';
import { ask } from './http-client.ts';
import { SERVER_OPTION, serverOf } from './target.ts';

export const audit: Command = {
  usage: 'audit PIPELINE [--json]',
  summary: 'prove on a running server that what a pipeline took is what came out of it',
  words: [1, 1],
  options: { ...SERVER_OPTION, json: { type: 'boolean', help: 'the counts and the checks as JSON' } },
  async run([pipeline = ''], values, io) {
    const response = await ask(serverOf(values, io), `/api/v1/pipelines/${encodeURIComponent(pipeline)}/audit`);
    const found = (await response.json()) as Audit;
    if (values['json'] === true) io.out(`${JSON.stringify(found, null, 2)}\n`);
    else io.out(textOf(found));
    return found.ok ? EXIT.ok : EXIT.problems;
  },
};

function textOf({ pipeline, ok, counts, lines }: Audit): string {
  const books = counts.map(each => [
    each.of,
    each.in,
    each.emitted,
    each.dropped,
    each.passed,
    each.dead,
    each.unsorted,
    each.outputs,
    each.letters,
  ]);
  const header = ['SOURCE', 'IN', 'EMITTED', 'DROPPED', 'PASSED', 'DEAD', 'UNSORTED', 'OUTPUTS', 'LETTERS'];
  const checks = lines.map(({ check, of, result, expected, found, note }) => {
    const numbers = expected !== null && expected === found ? String(found) : '';
    const differing =
      expected !== null && expected !== found ? `expected ${expected}, found ${found ?? 'none'}` : numbers;
    return [result, check, of, [differing, note].filter(Boolean).join('; ')];
  });
  const differing = lines.filter(({ result }) => result === 'differs').length;
  const unknown = lines.filter(({ result }) => result === 'unknown').length;
  const verdict = ok ? 'everything adds up' : `${differing} ${differing === 1 ? 'check differs' : 'checks differ'}`;
  return (
    `${counts.length > 0 ? `${table(header, books)}\n` : ''}${table(['RESULT', 'CHECK', 'OF', ''], checks)}\n` +
    `${pipeline}: ${verdict}${unknown > 0 ? `; ${unknown} could not be checked` : ''}\n`
  );
}
