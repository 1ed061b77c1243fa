import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { runCommand, startProject, until } from '../server/support.ts';

/* examples/payments: velocity, fraud_detector and analytics_enricher, one behind the other. */

const example = fileURLToPath(new URL('../../examples/payments', import.meta.url));

it('passes its own tests, without a finding of lint', async () => {
  expect(await runCommand(['pipeline', 'lint'], { cwd: example })).toMatchObject({
    code: 0,
    out: 'pipelines/payments.toml: ok\n',
  });
  const { code, out } = await runCommand(['pipeline', 'test'], { cwd: example });
  expect([code, out]).toEqual([0, expect.stringContaining('4 tests passed')]);
});

it('sends the fourth use of a card in a minute to the fraud desk', async () => {
  const pipeline = readFileSync(join(example, 'pipelines/payments.toml'), 'utf8');
  const project = await startProject({ 'pipelines/payments.toml': pipeline });
  try {
    const brokers = ['--brokers', `127.0.0.1:${project.server.kafka.port}`];
    const payment = (card: string): string => `{"card":"${card}","amount":9,"country":"DE"}\n`;
    await project.run(['produce', 'payments', ...brokers], payment('c-1').repeat(4) + payment('c-2'));
    const read = (topic: string) => () =>
      project.run(['consume', topic, '--from', 'earliest', '-e', '--json', ...brokers]);
    const { out: clear } = await until(read('payments.clear'), ({ out }) => out.includes('c-2'));
    expect(clear.trim().split('\n')).toHaveLength(4);
    const { out: review } = await until(read('payments.review'), ({ out }) => out !== '');
    expect(review.trim().split('\n')).toHaveLength(1);
    expect(review).toContain('often');
    expect(clear).toContain(String.raw`\"region\":\"DACH\",\"size\":\"tiny\"`);
  } finally {
    await project.close();
  }
});
