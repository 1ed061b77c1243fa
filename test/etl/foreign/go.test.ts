import { expect, test } from 'vitest';
import { record, TIME } from '../sandbox/harness.ts';
import { dead, foreignGuestsInGo, output, useSandbox } from './built.ts';

foreignGuestsInGo('foreign guests in Go: a Redpanda transform of Go for wasip1', () => {
  const { run, lines } = useSandbox();
  const limits = { timeMs: 2000, memoryBytes: 64 * 1024 * 1024, initTimeMs: 10_000 };

  test('the Go runtime works: goroutines, sleep, output, null values', async () => {
    lines.length = 0;
    const given = ['abc', 'goroutines', 'sleep', 'log it', null];
    const records = given.map((value, i) =>
      record(value, { key: i === 0 ? Buffer.from('k') : null, timestamp: TIME + i }),
    );
    const result = await run('redpanda-go', records, limits);
    expect(output(result)).toEqual(
      given.map((value, i) => ({
        key: i === 0 ? 'k' : null,
        value: value && value.toUpperCase(),
        headers: [['count', String(i + 1)]],
        timestamp: TIME + i,
      })),
    );
    expect(lines).toEqual(['info out: log it']);
  });

  test('a panic and an exit cost one record each, and Go says why', async () => {
    const result = await run('redpanda-go', ['a', 'panic 1', 'b', 'exit', 'c'], limits);
    expect(output(result).map(({ value, headers }) => [value, headers[0]?.[1]])).toEqual([
      ['A', '1'],
      ['B', '1'],
      ['C', '1'],
    ]);
    expect(dead(result)).toMatchObject([
      { offset: 101, code: 'EXITED', reason: expect.stringMatching(/exit code 2: panic: cannot bear panic 1/) },
      { offset: 103, code: 'EXITED', reason: expect.stringMatching(/exit code 3/) },
    ]);
  });
});
