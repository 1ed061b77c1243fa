import { expect, test } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import { assignSticky, type StickySubscriber } from '../../../core/client/sticky-assignor.ts';
import { keyOf, type TopicPartition } from '../../../core/client/topic-partition.ts';

const of = (topic: string, ...partitions: number[]): TopicPartition[] =>
  partitions.map(partition => ({ topic, partition }));
const member = (memberId: string, topics: string[], owned: TopicPartition[] = []): StickySubscriber => ({
  memberId,
  instanceId: null,
  topics,
  owned,
});

test('a new member waits for what its neighbour has to give back', () => {
  const counts = new Map([['t', 4]]);
  const first = assignSticky([member('a', ['t'], of('t', 0, 1, 2, 3)), member('b', ['t'])], counts);
  expect(Object.fromEntries(first.shares)).toEqual({ a: [{ topic: 't', partitions: [0, 1] }], b: [] });
  expect(first.isPending).toBe(true);
  const second = assignSticky([member('a', ['t'], of('t', 0, 1)), member('b', ['t'])], counts);
  expect(second.shares.get('b')?.[0]?.partitions.toSorted()).toEqual([2, 3]);
  expect(second.isPending).toBe(false);
});

test('a partition that two members claim goes to neither before both have let go', () => {
  const claims = [member('a', ['t'], of('t', 0)), member('b', ['t'], of('t', 0))];
  const { shares, isPending } = assignSticky(claims, new Map([['t', 1]]));
  expect([...shares.values()].flat()).toEqual([]);
  expect(isPending).toBe(true);
});

test('members only get topics that they read, and partitions that there are', () => {
  const members = [member('a', ['x'], of('x', 0, 7)), member('b', ['x', 'y'], of('gone', 0))];
  const { shares } = assignSticky(
    members,
    new Map([
      ['x', 2],
      ['y', 1],
    ]),
  );
  const topics = [...shares].map(([id, share]) => [id, share.map(one => one.topic)] as const);
  expect(Object.fromEntries(topics)['a']).toEqual(['x']);
  expect(
    [...shares.values()]
      .flat()
      .flatMap(one => one.partitions.map(p => `${one.topic}${p}`))
      .toSorted(),
  ).toEqual(['x0', 'x1', 'y0']);
});

test('whatever happens no partition has two owners, and after two quiet rounds all have one and the shares are even', () => {
  const random = seededRandom(7);
  const counts = new Map([
    ['t', 11],
    ['u', 3],
  ]);
  let members: StickySubscriber[] = [];
  let next = 0;
  const round = (): boolean => {
    const { shares, isPending } = assignSticky(members, counts);
    const held = [...shares].map(([memberId, share]) => ({
      memberId,
      owned: share.flatMap(one => of(one.topic, ...one.partitions)),
    }));
    const keys = held.flatMap(one => one.owned.map(keyOf));
    expect(new Set(keys).size).toBe(keys.length);
    for (const { memberId, owned } of held) {
      // What is new to this member was in nobody's hands.
      const others = new Set(members.filter(one => one.memberId !== memberId).flatMap(one => one.owned.map(keyOf)));
      expect(owned.filter(one => others.has(keyOf(one)))).toEqual([]);
    }
    members = members.map(one => ({ ...one, owned: held.find(each => each.memberId === one.memberId)?.owned ?? [] }));
    return isPending;
  };
  for (let i = 0; i < 200; i++) {
    if (random.float() < 0.6) members.push(member(`m${next++}`, ['t', 'u']));
    if (random.float() < 0.5) members.splice(Math.floor(random.float() * members.length), 1);
    round();
    if (members.length === 0) continue;
    round();
    expect(round()).toBe(false);
    const sizes = members.map(one => one.owned.length);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(14);
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
  }
});

test('exclusive: one member has everything, and keeps it while others come', () => {
  const counts = new Map([
    ['x', 3],
    ['y', 1],
  ]);
  const both = ['x', 'y'];
  const all = [...of('x', 0, 1, 2), ...of('y', 0)];
  const exclusive = { exclusive: true };
  const first = assignSticky([member('b', both), member('a', both)], counts, exclusive);
  expect(first.shares.get('a')?.flatMap(({ partitions }) => partitions)).toHaveLength(4);
  expect(first.shares.get('b')).toEqual([]);
  const later = assignSticky([member('a', both), member('b', both, all)], counts, exclusive);
  expect(later.shares.get('b')?.flatMap(({ partitions }) => partitions)).toHaveLength(4);
  expect(later).toMatchObject({ isPending: false });
  // Members that shared before: who has less gives it back, then the other gets it.
  const shared = [member('a', ['x'], of('x', 0)), member('b', ['x'], of('x', 1, 2))];
  const giving = assignSticky(shared, new Map([['x', 3]]), exclusive);
  expect(Object.fromEntries(giving.shares)).toEqual({ a: [], b: [{ topic: 'x', partitions: [1, 2] }] });
  expect(giving.isPending).toBe(true);
});
