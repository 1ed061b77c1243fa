import { afterEach, beforeEach, expect, it } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import { type ApiKey, ApiKey as Keys, APIS, encodeRequest } from '../../../core/protocol/api.ts';
import { MillstreamError } from '../../../core/base/errors.ts';
import { randomBody } from '../protocol/random-body.ts';
import { batchOf, TestBroker } from './harness.ts';

let test: TestBroker;
beforeEach(async () => {
  test = await TestBroker.open({ config: { groupMinSessionTimeoutMs: 0, groupMaxSessionTimeoutMs: 2 ** 31 } });
  // Random requests name `orders`, and may delete it.
  await test.broker.topics.create({ name: 'orders', partitions: 2 });
  await test.broker.topics.create({ name: 'mine', partitions: 1 });
});
afterEach(() => test.close());

/** Keeps what a random body asks for within what a test can wait for. */
function tame(key: ApiKey, body: Record<string, unknown>): void {
  if (key === Keys.Fetch) body['maxWaitMs'] = 1;
  for (const topic of (body['topics'] as Record<string, unknown>[] | null) ?? []) {
    if (key === Keys.CreateTopics && Number(topic['numPartitions']) > 3) topic['numPartitions'] = 3;
    if (key === Keys.CreatePartitions && Number(topic['count']) > 5) topic['count'] = 20_000;
  }
}

it('answers well-formed requests with any values, in every version', async () => {
  const random = seededRandom(5);
  // These may wait for others by right.
  const held: ApiKey[] = [Keys.JoinGroup, Keys.SyncGroup];
  let answered = 0;
  for (const { key, request, served } of Object.values(APIS)) {
    if (!served) continue;
    for (let version: number = served[0]; version <= served[1]; version++) {
      for (let round = 0; round < 4; round++) {
        const body = randomBody(random, request.fields, version);
        tame(key, body);
        if (!isWritable(key, version, body)) continue;
        const answer = test.send(key, version, body);
        if (held.includes(key)) void answer;
        else await answer;
        answered++;
      }
    }
  }
  expect(answered).toBeGreaterThan(400);
  expect(await test.produce('mine', 0, batchOf(['still here']))).toMatchObject({ errorCode: 0 });
});

/** Random bodies now and then hold what a version cannot carry. */
function isWritable(key: ApiKey, version: number, body: Record<string, unknown>): boolean {
  try {
    encodeRequest(key, version, 1, 'test', body as never);
    return true;
  } catch (error) {
    if (error instanceof MillstreamError && error.code === 'UNWRITABLE_MESSAGE') return false;
    throw error;
  }
}
