import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../core/base/clock.ts';
import { type DeadLetter, fromDeadRecord, toDeadRecord } from '../../../core/engine/dead-letter.ts';
import type { Lease } from '../../../core/engine/engine.ts';
import {
  bodySize,
  encodeBatch,
  type LogRecord,
  type NewRecord,
  readRecords,
  writeBody,
} from '../../../core/engine/records.ts';
import { toReplayRecord } from '../../../core/engine/replay.ts';
import { deadAppends, ReplayLane } from '../../../etl/runner/replay.ts';
import type { Sandbox, TaskResult } from '../../../etl/sandbox/sandbox.ts';
import { assemble, chainOf, guestText, moduleOf, stepOf } from '../sandbox/guests.ts';
import { outputOf, record, taskOf, testSandbox, TIME, valuesOf } from '../sandbox/harness.ts';

const LETTER: DeadLetter = {
  pipeline: 'orders',
  stage: 'step',
  name: 'second',
  topic: 'orders.in',
  topicId: '0123456789abcdef0123456789abcdef',
  partition: 3,
  offset: 40,
  index: 0,
  sha256: 'old',
  code: 'OLD',
  reason: 'old',
  at: 5,
  replays: 0,
  input: null,
};

/** The lane's own topic. */
const lease = { topic: 'orders.replay', topicId: 'f'.repeat(32), partition: 0 } as Lease;

const utf8 = (bytes: Uint8Array | null): string => Buffer.from(bytes ?? []).toString();

function bodyOf(value: string): Uint8Array {
  const given = { key: null, value: Buffer.from(value) };
  const body = new Uint8Array(bodySize(given));
  writeBody(body, 0, given);
  return body;
}

function replayOf(value: string, letter: Partial<DeadLetter>, place = '3-0'): NewRecord {
  const dead = toDeadRecord(record(value, { headers: [['h', Buffer.from('v')]] }) as LogRecord, {
    ...LETTER,
    ...letter,
  });
  return toReplayRecord({ ...(dead as LogRecord), offset: 0 }, (letter.replays ?? 0) + 1, place, TIME + 999);
}

const lettersOf = (result: TaskResult): (DeadLetter & { value: string })[] =>
  (result.dead ? readRecords(result.dead.batch) : []).map(one => ({
    ...(fromDeadRecord(one) as DeadLetter),
    value: utf8(one.value),
  }));

describe('the lane of replays', () => {
  let sandbox: Sandbox;
  beforeAll(() => {
    sandbox = testSandbox();
  });
  afterAll(() => sandbox.close());

  // `first` doubles 2, `second` refuses F and drops D; `third` refuses T by trapping.
  const module = moduleOf(assemble(guestText()));
  const chain = chainOf(
    ['first', 'second', 'third'].map(name => stepOf(module, { name, onError: 'stop', maxFailuresInARow: 1 })),
  );
  const run = async (records: NewRecord[], from = 0): Promise<TaskResult> => {
    const lane = new ReplayLane({ lease, sandbox, clock: systemClock, chain, partitions: 4 });
    const result = await lane.run(taskOf([encodeBatch(records)], { from }));
    await lane.close();
    return result;
  };

  it('enters the chain at the step that refused, with the record as it was, in the place of its partition', async () => {
    const result = await run([replayOf('2a', { name: 'third' }), replayOf('b', { name: 'first', partition: 1 })]);
    expect(result).toMatchObject({ records: 2, dead: null, stopped: null });
    expect(result.steps.map(step => step.in)).toEqual([1, 1, 2]);
    expect(result.outputs.map(({ partition, records }) => [partition, records])).toEqual([
      [3, 2],
      [1, 1],
    ]);
    for (const out of outputOf(result)) {
      expect(out.timestamp).toBe(TIME);
      expect(out.headers.map(([name, value]) => [name, utf8(value)])).toEqual([['h', 'v']]);
    }
    expect(valuesOf(outputOf(result))).toEqual(['2a', '2a', 'b']);
  });

  it('keeps where a record came from when it is refused again, and refuses no record behind it', async () => {
    const result = await run([
      replayOf('F1', { offset: 41, replays: 2 }, '3-7'),
      replayOf('F2', { offset: 40 }, '3-8'),
      replayOf('ok', { offset: 42 }),
    ]);
    expect(valuesOf(outputOf(result))).toEqual(['ok']);
    expect(lettersOf(result)).toMatchObject([
      {
        value: 'F2',
        offset: 40,
        partition: 3,
        topic: 'orders.in',
        name: 'second',
        code: 'REFUSED',
        replays: 1,
        replayOf: '3-8',
        sha256: module.sha256,
      },
      { value: 'F1', offset: 41, replays: 3, replayOf: '3-7', input: null },
    ]);
    expect(result.dead?.letters).toHaveLength(2);
  });

  it('tells letters of one source record apart, and keeps what the step was given beside the source', async () => {
    const result = await run([
      replayOf('source', { index: 0, input: bodyOf('F-left') }, '3-1'),
      replayOf('source', { index: 1, input: bodyOf('F-right'), inputTimestamp: TIME + 7 }, '3-2'),
      replayOf('source', { index: 2, input: bodyOf('Tail'), inputTimestamp: TIME + 8 }, '3-3'),
      replayOf('source', { index: 3, input: bodyOf('good'), inputTimestamp: TIME + 9 }, '3-4'),
    ]);
    const letters = lettersOf(result);
    expect(
      letters.map(({ value, index, replayOf: of, input, inputTimestamp }) => [
        value,
        index,
        of,
        input && Buffer.from(input).toString('latin1').slice(2, -1),
        inputTimestamp,
      ]),
    ).toEqual([
      ['source', 0, '3-1', 'F-left', null],
      ['source', 1, '3-2', 'F-right', TIME + 7],
      ['source', 2, '3-3', 'Tail', TIME + 8],
    ]);
    expect(outputOf(result).map(({ value, timestamp, headers }) => [utf8(value), timestamp, headers])).toEqual([
      ['good', TIME + 9, []],
    ]);
  });

  it('loses nothing that cannot enter the chain, and skips what was done before', async () => {
    const result = await run([replayOf('done', {}), replayOf('x', { name: 'gone' }, '3-5'), record('stranger')], 1);
    expect(lettersOf(result)).toMatchObject([
      { value: 'x', name: 'gone', code: 'NO_SUCH_STEP', topic: 'orders.in', offset: 40, replays: 1, replayOf: '3-5' },
      { value: 'stranger', code: 'NOT_A_DEAD_LETTER', topic: 'orders.replay', offset: 2, replays: 0 },
    ]);
    expect(result).toMatchObject({ records: 2, outputs: [] });
  });

  it('sends letters to the partition of their source, in batches of a bounded size', () => {
    const big = 'x'.repeat(300 * 1024);
    const letter = (value: string, partition: number): NewRecord =>
      toDeadRecord(record(value, { headers: [] }) as LogRecord, { ...LETTER, partition });
    const batch = encodeBatch([letter(big, 3), letter('a', 0), letter(big, 3), letter('b', 1)]);
    const appends = deadAppends(batch, 'orders.dead', 2);
    expect(appends.map(({ partition, batch: own }) => [partition, readRecords(own).length])).toEqual([
      [1, 1],
      [1, 2],
      [0, 1],
    ]);
  });
});
