import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ErrorCode } from '../../../../core/protocol/error-codes.ts';
import { ManualClock } from '../../../connectors/manual-clock.ts';
import { type OpenOptions, TestBroker } from '../harness.ts';

const DAY_MS = 24 * 3600 * 1000;
let clock: ManualClock;
let test: TestBroker;
beforeEach(async () => {
  clock = new ManualClock();
  // Housekeeping runs when a test says so: the clock jumps over days.
  test = await TestBroker.open({ clock, config: { housekeepingIntervalMs: 1e12 } });
  await test.broker.topics.create({ name: 'orders', partitions: 3 });
});
afterEach(() => test.close());

async function restart(options: OpenOptions = {}): Promise<void> {
  const { directory } = test;
  await test.broker.close();
  await test.store.close();
  test = await TestBroker.open({ directory, clock, ...options });
}

async function commit(
  groupId: string,
  committedOffset: number,
  { metadata = null as string | null, generation = -1, memberId = '', topic = 'orders', partition = 0 } = {},
): Promise<number | undefined> {
  const body = await test.ask(8, 8, {
    groupId,
    generationIdOrMemberEpoch: generation,
    memberId,
    groupInstanceId: null,
    topics: [
      { name: topic, partitions: [{ partitionIndex: partition, committedOffset, committedMetadata: metadata }] },
    ],
  });
  return body.topics[0]?.partitions[0]?.errorCode;
}

async function fetchAll(groupId: string): Promise<[string, number, number, string | null][]> {
  const body = await test.ask(9, 8, { groups: [{ groupId, topics: null }], requireStable: true });
  return (body.groups[0]?.topics ?? []).flatMap(({ name, partitions }) =>
    partitions.map(({ partitionIndex, committedOffset, metadata }): [string, number, number, string | null] => [
      name,
      partitionIndex,
      committedOffset,
      metadata,
    ]),
  );
}

/** A stable group of one member. */
async function joinAlone(groupId: string): Promise<{ memberId: string; generation: number }> {
  const joining = test.ask(11, 3, {
    groupId,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 10_000,
    memberId: '',
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.from('m') }],
  });
  await clock.advance(1);
  const { memberId, generationId: generation } = await joining;
  const assignments = [{ memberId, assignment: Buffer.from('all') }];
  await test.ask(14, 3, { groupId, generationId: generation, memberId, assignments });
  return { memberId, generation };
}

describe('positions', () => {
  it('are kept with their metadata, also over a restart', async () => {
    expect(await commit('g', 7, { metadata: 'state é' })).toBe(0);
    expect(await commit('g', 9, { partition: 2 })).toBe(0);
    expect(await commit('g', 8, { metadata: 'newer' })).toBe(0);
    const expected = [
      ['orders', 0, 8, 'newer'],
      ['orders', 2, 9, ''],
    ];
    expect(await fetchAll('g')).toEqual(expected);
    await restart();
    expect(await fetchAll('g')).toEqual(expected);
  });

  it('are -1 where nothing was committed, in old and new versions', async () => {
    await commit('g', 7);
    const topics = [{ name: 'orders', partitionIndexes: [0, 1] }];
    const old = await test.ask(9, 1, { groupId: 'g', topics });
    expect(old.topics[0]?.partitions.map(({ committedOffset }) => committedOffset)).toEqual([7, -1]);
    const fresh = await test.ask(9, 8, { groups: [{ groupId: 'none', topics }] });
    expect(fresh.groups[0]?.topics[0]?.partitions.map(({ committedOffset }) => committedOffset)).toEqual([-1, -1]);
  });

  it('do not move when the metadata is longer than 4,096 characters', async () => {
    expect(await commit('g', 1, { metadata: 'é'.repeat(4096) })).toBe(0);
    expect(await commit('g', 2, { metadata: 'e'.repeat(4097) })).toBe(ErrorCode.OFFSET_METADATA_TOO_LARGE);
    expect((await fetchAll('g'))[0]?.[2]).toBe(1);
  });

  it('are refused for topics and partitions that do not exist', async () => {
    expect(await commit('g', 1, { topic: 'none' })).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    expect(await commit('g', 1, { partition: 3 })).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  });

  it('are moved only by members of the generation while the group is active', async () => {
    const { memberId, generation } = await joinAlone('g');
    expect(await commit('g', 5, { memberId, generation })).toBe(0);
    expect(await commit('g', 6)).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
    expect(await commit('g', 6, { memberId, generation: generation + 1 })).toBe(ErrorCode.ILLEGAL_GENERATION);
    expect(await commit('g', 6, { memberId: 'x', generation })).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
    expect(await commit('unknown', 6, { memberId: 'x', generation: 3 })).toBe(ErrorCode.ILLEGAL_GENERATION);
    expect((await fetchAll('g'))[0]?.[2]).toBe(5);
  });

  it('belong to the embedded engine while it has members in the group, which tools can see', async () => {
    const { broker } = test;
    await broker.commitOffset('millstream.p', 'orders', 0, { offset: 3, metadata: 'v1' });
    broker.setEmbeddedMembers('millstream.p', [
      { memberId: 'embedded-1', partitions: [{ topic: 'orders', partition: 0 }] },
    ]);
    expect(await commit('millstream.p', 9)).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
    const described = await test.ask(15, 5, { groups: ['millstream.p'], includeAuthorizedOperations: false });
    expect(described.groups[0]).toMatchObject({ groupState: 'Stable', protocolType: 'consumer', errorCode: 0 });
    expect(described.groups[0]?.members[0]?.memberId).toBe('embedded-1');
    const joined = await test.ask(11, 3, {
      groupId: 'millstream.p',
      sessionTimeoutMs: 10_000,
      memberId: '',
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: Buffer.alloc(0) }],
    });
    expect(joined.errorCode).toBe(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    broker.setEmbeddedMembers('millstream.p', []);
    expect(await commit('millstream.p', 9)).toBe(0);
    expect(broker.committedOffset('millstream.p', 'orders', 0)).toMatchObject({ offset: 9 });
  });

  it('are seen by this process at once and by clients when they are durable', async () => {
    const { broker } = test;
    const durable = broker.commitOffset('g', 'orders', 1, { offset: 4, metadata: 'm' });
    expect(broker.committedOffset('g', 'orders', 1)).toMatchObject({ offset: 4, metadata: 'm' });
    expect(await fetchAll('g')).toEqual([]);
    await durable;
    expect(await fetchAll('g')).toEqual([['orders', 1, 4, 'm']]);
  });

  it('go with a deleted topic', async () => {
    await test.broker.topics.create({ name: 'clicks', partitions: 1 });
    await commit('g', 1);
    await commit('g', 2, { topic: 'clicks' });
    await test.broker.topics.delete('clicks');
    await expect.poll(() => fetchAll('g')).toEqual([['orders', 0, 1, '']]);
    await restart();
    expect(await fetchAll('g')).toEqual([['orders', 0, 1, '']]);
  });
});

describe('groups', () => {
  const list = async (filter: { statesFilter?: string[]; typesFilter?: string[] } = {}): Promise<string[]> => {
    const { groups } = await test.ask(16, 5, { statesFilter: [], typesFilter: [], ...filter });
    return groups.map(({ groupId, groupState, protocolType }) => `${groupId} ${groupState} ${protocolType}`).toSorted();
  };

  it('are listed by state and type', async () => {
    await commit('simple', 1);
    await joinAlone('active');
    expect(await list()).toEqual(['active Stable consumer', 'simple Empty ']);
    expect(await list({ statesFilter: ['stable'] })).toEqual(['active Stable consumer']);
    expect(await list({ typesFilter: ['consumer'] })).toEqual([]);
  });

  it('go on after a restart with the members and the assignment that they had', async () => {
    const { memberId, generation } = await joinAlone('g');
    await restart();
    expect((await test.ask(12, 3, { groupId: 'g', generationId: generation, memberId })).errorCode).toBe(0);
    const described = (await test.ask(15, 5, { groups: ['g', 'none'] })).groups;
    expect(described[0]).toMatchObject({ groupState: 'Stable', protocolData: 'range', protocolType: 'consumer' });
    expect(Buffer.from(described[0]?.members[0]?.memberAssignment ?? []).toString()).toBe('all');
    expect(described[1]).toMatchObject({ groupState: 'Dead', errorCode: 0 });
    await clock.advance(10_001);
    expect(await list()).toEqual(['g Empty consumer']);
  });

  it('are deleted with their positions when nobody is in them', async () => {
    const { memberId } = await joinAlone('g');
    await commit('simple', 1);
    const remove = async (...groupsNames: string[]): Promise<number[]> =>
      (await test.ask(42, 2, { groupsNames })).results.map(({ errorCode }) => errorCode);
    expect(await remove('g', 'simple', 'none')).toEqual([ErrorCode.NON_EMPTY_GROUP, 0, ErrorCode.GROUP_ID_NOT_FOUND]);
    await test.ask(13, 3, { groupId: 'g', members: [{ memberId, groupInstanceId: null }] });
    await expect.poll(() => remove('g')).toEqual([0]);
    await restart();
    expect(await list()).toEqual([]);
    expect(await fetchAll('simple')).toEqual([]);
  });

  it('expire with their positions when they are unused, but not those of pipelines', async () => {
    await commit('old', 1);
    await commit('millstream.orders', 2);
    await joinAlone('active');
    await clock.advance(6 * DAY_MS);
    await commit('young', 3);
    await clock.advance(DAY_MS + 1);
    await test.broker.housekeeping.run();
    expect(await list()).toEqual(['active Empty consumer', 'millstream.orders Empty ', 'young Empty ']);
    expect(await fetchAll('old')).toEqual([]);
  });

  it('are found where clients look for their coordinator', async () => {
    const old = await test.ask(10, 2, { key: 'g', keyType: 0 });
    expect(old).toMatchObject({ errorCode: 0, nodeId: 1, host: 'broker.test', port: 9092 });
    const batched = await test.ask(10, 4, { keyType: 0, coordinatorKeys: ['g', 'h'] });
    expect(batched.coordinators.map(({ key, nodeId }) => [key, nodeId])).toEqual([
      ['g', 1],
      ['h', 1],
    ]);
  });
});
