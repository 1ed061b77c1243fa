import type { TransactionOwner } from '../broker/transactions/owner.ts';
import type { Appended, PartitionLog } from '../log/log.ts';
import type { TopicInfo, TopicSpec } from './engine.ts';

/** What the embedded engine needs of the broker in the same process; `Broker` has this shape. */
export interface EngineHost {
  ensureTopic(spec: TopicSpec): Promise<TopicInfo>;
  topicInfo(name: string): TopicInfo | null;
  /** null when there is no such topic or partition. */
  partitionLog(topic: string, partition: number): PartitionLog | null;
  /** Appends one finished batch, synchronously; refusals are MillstreamErrors. */
  appendBatch(topic: string, partition: number, batch: Uint8Array): Appended;
  /** The same for records from outside: they pass the topic's modules (`[topics.NAME] etl_modules`) first. */
  appendProduced(topic: string, partition: number, batch: Uint8Array): Promise<Appended>;
  committedOffset(group: string, topic: string, partition: number): CommittedOffset | null;
  /** Every committed position of the group. */
  committedOffsets(group: string): { topic: string; partition: number; committed: CommittedOffset }[];
  /** Appended in call order; resolves when durable. */
  commitOffset(group: string, topic: string, partition: number, committed: CommittedOffset): Promise<void>;
  /** The right to commit under one transactional id: fences the last owner and ends its open transaction. */
  ownTransactions(transactionalId: string): Promise<TransactionOwner>;
  /** While a group has an embedded member, foreign joins and commits to it are refused; `members` is what tools show. */
  setEmbeddedMembers(group: string, members: EmbeddedMember[]): void;
  /** Calls back when topics or partitions were added or removed. Returns the unsubscribe. */
  onTopicsChanged(listener: () => void): () => void;
}

export interface CommittedOffset {
  offset: number;
  metadata: string;
}

export interface EmbeddedMember {
  memberId: string;
  partitions: { topic: string; partition: number }[];
}
