import type { Subscriber } from './range-assignor.ts';
import { byTopic, keyOf, type TopicPartition, type TopicPartitions } from './topic-partition.ts';

export interface StickySubscriber extends Subscriber {
  /** What the member holds and reads on while the group rebalances (KIP-429). */
  owned: readonly TopicPartition[];
}

export interface StickyPlan {
  shares: Map<string, TopicPartitions[]>;
  /** Partitions wait for a member that has to give them back first: the group rebalances again when it has. */
  isPending: boolean;
}

/** Shares of a group. `exclusive`: one member has everything, the others wait for it to go. */
export interface StickyOptions {
  exclusive?: boolean;
}

/**
 * Cooperative and sticky: everybody keeps what they have as far as the shares stay even (none has two more than
 * another that could have one of them). A partition changes hands in two rounds: in the first its owner loses it, in
 * the second, when nobody claims it any more, the new owner gets it. So no two members ever hold one partition.
 */
export function assignSticky(
  subscribers: readonly StickySubscriber[],
  partitionCounts: ReadonlyMap<string, number>,
  { exclusive = false }: StickyOptions = {},
): StickyPlan {
  const order = subscribers.toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1));
  const claims = claimsOf(order, partitionCounts);
  const wanted = (exclusive ? allToOne : evenOut)(order, claims, partitionCounts);
  let isPending = false;
  const shares = new Map<string, TopicPartitions[]>();
  for (const [memberId, partitions] of wanted) {
    const free = partitions.filter(one => {
      const claimants = claims.get(keyOf(one)) ?? [];
      return claimants.every(claimant => claimant === memberId);
    });
    isPending ||= free.length < partitions.length;
    shares.set(memberId, byTopic(free));
  }
  return { shares, isPending };
}

/** Who says that they hold which of the partitions there are; more than one only after something went wrong. */
function claimsOf(
  subscribers: readonly StickySubscriber[],
  partitionCounts: ReadonlyMap<string, number>,
): Map<string, string[]> {
  const claims = new Map<string, string[]>();
  for (const { memberId, owned } of subscribers) {
    for (const one of owned) {
      if (one.partition >= (partitionCounts.get(one.topic) ?? 0)) continue;
      const claimants = claims.get(keyOf(one));
      if (claimants) claimants.push(memberId);
      else claims.set(keyOf(one), [memberId]);
    }
  }
  return claims;
}

/** To the member that holds most already. */
function allToOne(
  order: readonly StickySubscriber[],
  claims: ReadonlyMap<string, readonly string[]>,
  partitionCounts: ReadonlyMap<string, number>,
): Map<string, TopicPartition[]> {
  const held = (one: StickySubscriber): number =>
    [...claims.values()].filter(claimants => claimants.includes(one.memberId)).length;
  const [owner] = order.toSorted((a, b) => held(b) - held(a));
  const all = [...partitionCounts].flatMap(([topic, count]) =>
    Array.from({ length: owner?.topics.includes(topic) ? count : 0 }, (_, partition) => ({ topic, partition })),
  );
  return new Map(order.map(one => [one.memberId, one === owner ? all : []]));
}

function evenOut(
  order: readonly StickySubscriber[],
  claims: ReadonlyMap<string, readonly string[]>,
  partitionCounts: ReadonlyMap<string, number>,
): Map<string, TopicPartition[]> {
  const shares = new Map<string, TopicPartition[]>(order.map(one => [one.memberId, []]));
  const shareOf = (one: StickySubscriber): TopicPartition[] => shares.get(one.memberId) as TopicPartition[];
  const leastOf = (members: readonly StickySubscriber[]): StickySubscriber | undefined =>
    members.reduce<StickySubscriber | undefined>(
      (least, one) => (!least || shareOf(one).length < shareOf(least).length ? one : least),
      undefined,
    );
  const subscribed = (topic: string): StickySubscriber[] => order.filter(one => one.topics.includes(topic));
  const free: TopicPartition[] = [];
  for (const [topic, count] of [...partitionCounts].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const members = subscribed(topic);
    for (let partition = 0; partition < count; partition++) {
      const claimants = claims.get(keyOf({ topic, partition }));
      const owner = claimants?.length === 1 ? members.find(one => one.memberId === claimants[0]) : undefined;
      if (owner) shareOf(owner).push({ topic, partition });
      else if (members.length > 0) free.push({ topic, partition });
    }
  }
  for (const one of free) {
    const least = leastOf(subscribed(one.topic));
    if (least) shareOf(least).push(one);
  }
  // Each move makes the shares more even, so this comes to an end.
  for (let moved = true; moved; ) {
    moved = false;
    for (const from of order) {
      const share = shareOf(from);
      for (let at = share.length - 1; at >= 0; at--) {
        const one = share[at] as TopicPartition;
        const least = leastOf(subscribed(one.topic));
        if (!least || shareOf(least).length + 1 >= share.length) continue;
        share.splice(at, 1);
        shareOf(least).push(one);
        moved = true;
      }
    }
  }
  return shares;
}
