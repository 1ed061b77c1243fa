import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Coordinator } from '../../../../core/broker/groups/coordinator.ts';
import type { JoinReply, SyncReply } from '../../../../core/broker/groups/member.ts';
import type { JoinRequest } from '../../../../core/broker/groups/membership.ts';
import { ErrorCode } from '../../../../core/protocol/error-codes.ts';
import { ManualClock, settle } from '../../../connectors/manual-clock.ts';
import { TestBroker } from '../harness.ts';

const CLIENT = { clientId: 'client', clientHost: '/127.0.0.1' };
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

let clock: ManualClock;
let test: TestBroker;
let groups: Coordinator;
beforeEach(async () => {
  clock = new ManualClock();
  test = await TestBroker.open({ clock, fsync: false });
  groups = test.broker.groups;
});
afterEach(() => test.close());

function joinRequest(change: Partial<JoinRequest> & { metadata?: string } = {}): JoinRequest {
  return {
    groupId: 'g',
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 60_000,
    memberId: '',
    groupInstanceId: null,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.from(change.metadata ?? 'm') }],
    requireMemberId: false,
    maySkipAssignment: false,
    ...change,
  };
}

const join = (change: Parameters<typeof joinRequest>[0] = {}): Promise<JoinReply> =>
  Promise.resolve(groups.join(joinRequest(change), CLIENT));

const sync = (joined: JoinReply, assignments: Record<string, string> = {}, id = 'g'): Promise<SyncReply> =>
  Promise.resolve(
    groups.sync(id, {
      generationId: joined.generationId,
      memberId: joined.memberId,
      groupInstanceId: null,
      protocolType: null,
      protocolName: null,
      assignments: Object.entries(assignments).map(([memberId, part]) => ({ memberId, assignment: Buffer.from(part) })),
    }),
  );

const beat = (joined: JoinReply, groupInstanceId: string | null = null): number =>
  groups.heartbeat('g', { memberId: joined.memberId, generationId: joined.generationId, groupInstanceId });

/** A stable group of `count` members; the first is the leader. */
async function stable(count: number, change: Parameters<typeof joinRequest>[0] = {}): Promise<JoinReply[]> {
  const joining = Array.from({ length: count }, (_, i) =>
    join({ ...change, ...(change.groupInstanceId ? { groupInstanceId: `${change.groupInstanceId}${i}` } : {}) }),
  );
  await clock.advance(1);
  const joined = await Promise.all(joining);
  const parts = Object.fromEntries(joined.map(({ memberId }, i) => [memberId, `part ${i}`]));
  const synced = await Promise.all(joined.map(each => sync(each, each.memberId === each.leader ? parts : {})));
  expect(synced.map(({ errorCode, assignment }) => [errorCode, text(assignment)])).toEqual(
    joined.map((_, i) => [0, `part ${i}`]),
  );
  return joined.toSorted((a, b) => Number(b.memberId === b.leader) - Number(a.memberId === a.leader));
}

describe('joining', () => {
  it('puts joins of one turn into one generation, with one leader who sees all', async () => {
    const joined = await stable(3);
    expect(new Set(joined.map(({ generationId }) => generationId))).toEqual(new Set([1]));
    expect(joined.map(({ members }) => members.length)).toEqual([3, 0, 0]);
    expect(joined[0]).toMatchObject({ protocolName: 'range', protocolType: 'consumer', errorCode: 0 });
    expect(groups.get('g')?.state).toBe('Stable');
  });

  it('makes a new dynamic member come back with its id', async () => {
    const first = await join({ requireMemberId: true });
    expect(first).toMatchObject({ errorCode: ErrorCode.MEMBER_ID_REQUIRED, generationId: -1 });
    expect(first.memberId).toMatch(/^client-[0-9a-f-]{36}$/);
    const again = join({ requireMemberId: true, memberId: first.memberId });
    await clock.advance(1);
    expect(await again).toMatchObject({ errorCode: 0, memberId: first.memberId, leader: first.memberId });
  });

  it('forgets an id that does not come back within the session timeout', async () => {
    const first = await join({ requireMemberId: true });
    await clock.advance(10_001);
    expect(await join({ memberId: first.memberId })).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID });
  });

  it('works for any protocol type, but not for two in one group', async () => {
    const connect = { protocolType: 'connect', protocols: [{ name: 'sessioned', metadata: Buffer.from('url') }] };
    await stable(2, connect);
    expect(await join()).toMatchObject({ errorCode: ErrorCode.INCONSISTENT_GROUP_PROTOCOL });
    const stranger = [{ name: 'other', metadata: Buffer.alloc(0) }];
    expect(await join({ ...connect, protocols: stranger })).toMatchObject({
      errorCode: ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
    });
  });

  it('chooses the protocol that all speak and most prefer', async () => {
    const speaks = (...names: string[]) => ({ protocols: names.map(name => ({ name, metadata: Buffer.from(name) })) });
    const joining = [join(speaks('a', 'b', 'c')), join(speaks('b', 'c')), join(speaks('c', 'b', 'x'))];
    await clock.advance(1);
    const joined = await Promise.all(joining);
    expect(joined.map(({ protocolName }) => protocolName)).toEqual(['b', 'b', 'b']);
    expect(joined[0]?.members.map(({ metadata }) => text(metadata))).toEqual(['b', 'b', 'b']);
  });

  it.each([
    ['a session timeout below the minimum', { sessionTimeoutMs: 5999 }, ErrorCode.INVALID_SESSION_TIMEOUT],
    ['a session timeout above the maximum', { sessionTimeoutMs: 1_800_001 }, ErrorCode.INVALID_SESSION_TIMEOUT],
    ['an empty group id', { groupId: '' }, ErrorCode.INVALID_GROUP_ID],
    ['a member that nobody knows', { memberId: 'ghost' }, ErrorCode.UNKNOWN_MEMBER_ID],
    ['no protocols', { protocols: [] }, ErrorCode.INCONSISTENT_GROUP_PROTOCOL],
    ['no protocol type', { protocolType: '' }, ErrorCode.INCONSISTENT_GROUP_PROTOCOL],
  ])('is refused with %s', async (_, change, errorCode) => {
    expect(await join(change)).toMatchObject({ errorCode });
    expect(groups.list()).toEqual([]);
  });

  it('keeps its members apart from the bytes of the request', async () => {
    const metadata = Buffer.from('mine');
    const joining = join({ protocols: [{ name: 'range', metadata }] });
    metadata.fill(0);
    await clock.advance(1);
    expect(text((await joining).members[0]?.metadata ?? Buffer.alloc(0))).toBe('mine');
  });
});

describe('a rebalance', () => {
  it('begins when somebody joins, calls the others back, and gives all a new assignment', async () => {
    const [leader, follower] = await stable(2);
    if (!leader || !follower) return;
    const third = join();
    expect([beat(leader), beat(follower)]).toEqual([27, 27]);
    const back = [join({ memberId: leader.memberId }), join({ memberId: follower.memberId })];
    const [a, b, c] = await Promise.all([...back, third]);
    expect([a?.generationId, b?.generationId, c?.generationId]).toEqual([2, 2, 2]);
    expect(a?.members).toHaveLength(3);
    const late = sync(c as JoinReply);
    expect(beat(leader)).toBe(ErrorCode.ILLEGAL_GENERATION);
    await sync(a, { [(c as JoinReply).memberId]: 'new' });
    expect(text((await late).assignment)).toBe('new');
  });

  it('goes on without those that do not come back in time', async () => {
    const timeouts = { rebalanceTimeoutMs: 20_000, sessionTimeoutMs: 100_000 };
    const [leader, follower] = await stable(2, timeouts);
    const third = join(timeouts);
    const back = join({ ...timeouts, memberId: leader?.memberId ?? '' });
    await clock.advance(20_001);
    expect(await back).toMatchObject({ generationId: 2 });
    expect((await back).members.map(({ memberId }) => memberId)).not.toContain(follower?.memberId);
    expect((await third).generationId).toBe(2);
    expect(beat(follower as JoinReply)).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
  });

  it('begins again without those that joined and did not sync in time', async () => {
    const joining = [join({ sessionTimeoutMs: 1_000_000 }), join({ sessionTimeoutMs: 1_000_000 })];
    await clock.advance(1);
    const [leader, follower] = await Promise.all(joining);
    const waiting = sync(follower as JoinReply);
    await clock.advance(60_001);
    expect(await waiting).toMatchObject({ errorCode: ErrorCode.REBALANCE_IN_PROGRESS });
    expect(beat(leader as JoinReply)).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
    expect(groups.get('g')?.state).toBe('PreparingRebalance');
  });

  it('fails syncs that wait when somebody joins meanwhile', async () => {
    const joining = [join(), join()];
    await clock.advance(1);
    const [, follower] = await Promise.all(joining);
    const waiting = sync(follower as JoinReply);
    const third = join();
    expect(await waiting).toMatchObject({ errorCode: ErrorCode.REBALANCE_IN_PROGRESS });
    void third;
  });

  it('is not started by a follower that joins again unchanged, but by the leader', async () => {
    const [leader, follower] = await stable(2);
    expect(await join({ memberId: follower?.memberId ?? '' })).toMatchObject({ errorCode: 0, generationId: 1 });
    expect(groups.get('g')?.state).toBe('Stable');
    void join({ memberId: leader?.memberId ?? '' });
    expect(groups.get('g')?.state).toBe('PreparingRebalance');
  });

  it('answers an earlier join of the same member when a later one takes its place', async () => {
    const [leader] = await stable(2);
    const first = join({ memberId: leader?.memberId ?? '' });
    void join({ memberId: leader?.memberId ?? '' });
    expect(await first).toMatchObject({ errorCode: ErrorCode.REBALANCE_IN_PROGRESS });
  });

  it('refuses what a member asks of another generation or protocol', async () => {
    const [leader] = await stable(1);
    if (!leader) return;
    expect(await sync({ ...leader, generationId: 9 })).toMatchObject({ errorCode: ErrorCode.ILLEGAL_GENERATION });
    expect(await sync({ ...leader, memberId: 'x' })).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID });
    const other = { ...leader, groupInstanceId: null, protocolName: null, assignments: [] };
    expect(await groups.sync('g', { ...other, protocolType: 'connect' })).toMatchObject({
      errorCode: ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
    });
    expect(await sync(leader, {}, 'no such group')).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID });
  });
});

describe('a member', () => {
  it('is out when it is not heard from for its session timeout, and only then', async () => {
    const [leader, follower] = await stable(2);
    for (let i = 0; i < 5; i++) {
      await clock.advance(9000);
      expect(beat(leader as JoinReply)).toBe(i === 0 ? 0 : 27);
    }
    expect(beat(follower as JoinReply)).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
    expect(groups.get('g')?.members.size).toBe(1);
  });

  it('stays while its join is held, however long the others take', async () => {
    const [leader] = await stable(2, { rebalanceTimeoutMs: 300_000, sessionTimeoutMs: 10_000 });
    const third = join({ sessionTimeoutMs: 10_000 });
    for (let i = 0; i < 4; i++) {
      await clock.advance(9000);
      if (i < 3) beat(leader as JoinReply);
    }
    expect(groups.get('g')?.members.size).toBe(2);
    void join({ memberId: leader?.memberId ?? '' });
    expect((await third).generationId).toBe(2);
  });

  it('leaves, and the group is empty after the last one', async () => {
    const [leader, follower] = await stable(2);
    expect(groups.leave('g', { memberId: follower?.memberId ?? '', groupInstanceId: null })).toBe(0);
    expect(beat(leader as JoinReply)).toBe(ErrorCode.REBALANCE_IN_PROGRESS);
    expect(groups.leave('g', { memberId: leader?.memberId ?? '', groupInstanceId: null })).toBe(0);
    expect(groups.get('g')).toMatchObject({ state: 'Empty', generation: 2 });
    expect(groups.leave('g', { memberId: 'x', groupInstanceId: null })).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
    expect(clock.pending).toBe(1); // Housekeeping alone.
  });
});

describe('a static member', () => {
  it('takes its place again without a rebalance, and fences its predecessor', async () => {
    const [leader, follower] = await stable(2, { groupInstanceId: 'i' });
    if (!leader || !follower) return;
    const instance = [...(groups.get('g')?.statics ?? [])].find(([, id]) => id === follower.memberId)?.[0] ?? '';
    const back = await join({ groupInstanceId: instance });
    expect(back).toMatchObject({ errorCode: 0, generationId: 1, leader: leader.memberId, members: [] });
    expect(back.memberId).not.toBe(follower.memberId);
    expect(beat(follower, instance)).toBe(ErrorCode.FENCED_INSTANCE_ID);
    expect(beat(back, instance)).toBe(0);
    const synced = await Promise.resolve(
      groups.sync('g', {
        generationId: 1,
        memberId: back.memberId,
        groupInstanceId: instance,
        protocolType: null,
        protocolName: null,
        assignments: [],
      }),
    );
    expect(text(synced.assignment)).toMatch(/^part/);
  });

  it('that led is told to skip the assignment, or shown its old id when it cannot know that', async () => {
    const [leader] = await stable(2, { groupInstanceId: 'i' });
    const instance = [...(groups.get('g')?.statics ?? [])].find(([, id]) => id === leader?.memberId)?.[0] ?? '';
    const old = await join({ groupInstanceId: instance });
    expect(old).toMatchObject({ leader: leader?.memberId, skipAssignment: false, members: [] });
    const fresh = await join({ groupInstanceId: instance, maySkipAssignment: true });
    expect(fresh).toMatchObject({ leader: fresh.memberId, skipAssignment: true });
    expect(fresh.members).toHaveLength(2);
  });

  it('keeps its place over a rebalance that it misses, until its session ends', async () => {
    const [leader, follower] = await stable(2, { groupInstanceId: 'i', rebalanceTimeoutMs: 5000 });
    const instance = [...(groups.get('g')?.statics ?? [])].find(([, id]) => id === leader?.memberId)?.[0] ?? '';
    const again = join({ memberId: leader?.memberId ?? '', groupInstanceId: instance, rebalanceTimeoutMs: 5000 });
    await clock.advance(5001);
    expect((await again).members.map(({ memberId }) => memberId)).toContain(follower?.memberId);
    await clock.advance(10_001);
    expect(groups.get('g')?.members.has(follower?.memberId ?? '')).toBe(false);
  });

  it('can be taken out by its instance id alone', async () => {
    await stable(1, { groupInstanceId: 'i' });
    expect(groups.leave('g', { memberId: '', groupInstanceId: 'unknown' })).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
    expect(groups.leave('g', { memberId: 'wrong', groupInstanceId: 'i0' })).toBe(ErrorCode.FENCED_INSTANCE_ID);
    expect(groups.leave('g', { memberId: '', groupInstanceId: 'i0' })).toBe(0);
    await settle();
    expect(groups.get('g')?.state).toBe('Empty');
  });
});
