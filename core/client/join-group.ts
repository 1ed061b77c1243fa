import { ApiKey, type ResponseBody } from '../protocol/api.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import {
  CONSUMER_PROTOCOL_TYPE,
  ConsumerAssignment,
  ConsumerSubscription,
} from '../protocol/messages/consumer-protocol.ts';
import { decodeVersioned, encodeVersioned } from '../protocol/versioned.ts';
import { BrokerError, refuse } from './broker-error.ts';
import type { Cluster, Lane } from './cluster.ts';
import type { Generation } from './heartbeats.ts';
import { assignRanges } from './range-assignor.ts';
import { assignSticky, type StickyPlan, type StickySubscriber } from './sticky-assignor.ts';
import { byTopic, type TopicPartition } from './topic-partition.ts';

/**
 * range: everybody gives everything back before the group shares it out anew, as Kafka's clients do by default.
 * cooperative-sticky (KIP-429): members keep what they have and read on; only what moves is given back.
 */
export type GroupProtocol = 'range' | 'cooperative-sticky';

/** In the assignment's user data: partitions of this member are still with others, another round follows. */
const PENDING = 1;
/** The first version of a subscription that tells what the member holds, and since which generation. */
const SUBSCRIPTION_WITH_OWNED = 2;

export interface JoinRequest {
  group: string;
  /** Empty at first; then what the coordinator gave. */
  memberId: string;
  instanceId: string | null;
  topics: readonly string[];
  protocol: GroupProtocol;
  /** What this member holds, since which generation. Empty with `range`. */
  owned: readonly TopicPartition[];
  ownedGeneration: number;
  /** One member has all partitions; with `cooperative-sticky` only. All members of a group say the same. */
  exclusive: boolean;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  lane: Lane;
}

export interface Joined {
  generation: Generation;
  assigned: TopicPartition[];
  /** Of the leader: what it assigned by, to notice new partitions. Null for other members. */
  partitionCounts: ReadonlyMap<string, number> | null;
  /** Another round follows at once, in which more partitions may come. */
  isPending: boolean;
}

/** The member id that the coordinator gave, or that it no longer knows ours: join again with this one. */
export class JoinAgain extends Error {
  readonly memberId: string;

  constructor(memberId: string) {
    super('join again');
    this.memberId = memberId;
  }
}

/** One round of JoinGroup and SyncGroup (KIP-394). Throws JoinAgain or BrokerError. */
export async function joinGroup(cluster: Cluster, request: JoinRequest): Promise<Joined> {
  const { group, instanceId, lane, rebalanceTimeoutMs, protocol } = request;
  const subscription = encodeVersioned(ConsumerSubscription, protocol === 'range' ? 0 : SUBSCRIPTION_WITH_OWNED, {
    topics: request.topics,
    ownedPartitions: byTopic(request.owned),
    generationId: request.ownedGeneration,
  });
  const joined = await cluster.toCoordinator(
    group,
    ApiKey.JoinGroup,
    {
      groupId: group,
      sessionTimeoutMs: request.sessionTimeoutMs,
      rebalanceTimeoutMs,
      memberId: request.memberId,
      groupInstanceId: instanceId,
      protocolType: CONSUMER_PROTOCOL_TYPE,
      protocols: [{ name: protocol, metadata: subscription }],
    },
    { lane, waitMs: rebalanceTimeoutMs },
  );
  if (joined.errorCode === ErrorCode.MEMBER_ID_REQUIRED) throw new JoinAgain(joined.memberId);
  againOrRefuse(joined.errorCode, request);
  const { memberId, generationId } = joined;
  const isLeader = joined.leader === memberId && !joined.skipAssignment;
  const plan = isLeader ? await assign(cluster, request, joined) : null;
  const synced = await cluster.toCoordinator(
    group,
    ApiKey.SyncGroup,
    {
      groupId: group,
      generationId,
      memberId,
      groupInstanceId: instanceId,
      protocolType: CONSUMER_PROTOCOL_TYPE,
      protocolName: joined.protocolName,
      assignments: plan?.assignments ?? [],
    },
    { lane, waitMs: rebalanceTimeoutMs },
  );
  againOrRefuse(synced.errorCode, { group, memberId });
  const { assignedPartitions, userData } = emptyOr(synced.assignment);
  return {
    generation: { group, generationId, memberId, instanceId },
    assigned: flat(assignedPartitions),
    partitionCounts: plan?.partitionCounts ?? null,
    isPending: userData?.[0] === PENDING,
  };
}

function againOrRefuse(errorCode: number, { group, memberId }: { group: string; memberId: string }): void {
  if (errorCode === ErrorCode.REBALANCE_IN_PROGRESS) throw new JoinAgain(memberId);
  if (errorCode === ErrorCode.UNKNOWN_MEMBER_ID || errorCode === ErrorCode.ILLEGAL_GENERATION) throw new JoinAgain('');
  refuse(errorCode, `group ${group}`);
}

/** What the leader does: decode everybody's subscription, look the topics up, share the partitions out. */
async function assign(
  cluster: Cluster,
  { protocol, exclusive }: Pick<JoinRequest, 'protocol' | 'exclusive'>,
  joined: ResponseBody<typeof ApiKey.JoinGroup>,
): Promise<{
  assignments: { memberId: string; assignment: Uint8Array }[];
  partitionCounts: ReadonlyMap<string, number>;
}> {
  if (joined.protocolName !== protocol) {
    throw new BrokerError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, `assignor ${joined.protocolName ?? 'none'}`);
  }
  const subscribers: StickySubscriber[] = joined.members.map(member => {
    const { topics, ownedPartitions } = decodeVersioned(ConsumerSubscription, member.metadata, 'as-newest');
    return { memberId: member.memberId, instanceId: member.groupInstanceId, topics, owned: flat(ownedPartitions) };
  });
  const partitionCounts = await countPartitions(cluster, [...new Set(subscribers.flatMap(one => one.topics))]);
  const plan: StickyPlan =
    protocol === 'range'
      ? { shares: assignRanges(subscribers, partitionCounts), isPending: false }
      : assignSticky(subscribers, partitionCounts, { exclusive });
  const userData = plan.isPending ? Uint8Array.of(PENDING) : null;
  const assignments = Array.from(plan.shares, ([memberId, assignedPartitions]) => ({
    memberId,
    assignment: encodeVersioned(ConsumerAssignment, 0, { assignedPartitions, userData }),
  }));
  return { assignments, partitionCounts };
}

const flat = (grouped: readonly { topic: string; partitions: readonly number[] }[]): TopicPartition[] =>
  grouped.flatMap(({ topic, partitions }) => partitions.map(partition => ({ topic, partition })));

/** Partitions of each topic; one that does not exist (yet) has none. */
export async function countPartitions(cluster: Cluster, topics: readonly string[]): Promise<Map<string, number>> {
  const { topics: found } = await cluster.metadata(topics);
  const counts = new Map(found.map(topic => [topic.name, topic.partitions.length]));
  return new Map(topics.map(topic => [topic, counts.get(topic) ?? 0]));
}

/** A member without partitions may be answered with no bytes at all. */
function emptyOr(assignment: Uint8Array): Pick<ConsumerAssignment, 'assignedPartitions' | 'userData'> {
  return assignment.length === 0
    ? { assignedPartitions: [], userData: null }
    : decodeVersioned(ConsumerAssignment, assignment, 'as-newest');
}
