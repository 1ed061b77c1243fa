import { Bag } from '../base/bag.ts';
import type { Logger } from '../base/logger.ts';
import { EmbeddedLease } from './embedded-lease.ts';
import type { Engine, JoinOptions, LeaseHandler, Membership, TopicInfo, TopicSpec } from './engine.ts';
import type { EngineHost } from './host.ts';

/**
 * Engine `embedded`: topics live in the broker of this process. Members of one group share its partitions; every
 * change of the members or of the topics moves leases, and a lease that was moved is fenced at once.
 */
export class EmbeddedEngine implements Engine {
  private readonly host: EngineHost;
  private readonly logger: Logger;
  private readonly groups = new Map<string, Group>();
  private readonly unsubscribe: () => void;

  constructor(host: EngineHost, logger: Logger) {
    this.host = host;
    this.logger = logger;
    this.unsubscribe = host.onTopicsChanged(() => {
      for (const group of this.groups.values()) void group.rebalance();
    });
  }

  ensureTopic(spec: TopicSpec): Promise<TopicInfo> {
    return this.host.ensureTopic(spec);
  }

  async join(name: string, topics: string[], on: LeaseHandler, options: JoinOptions = {}): Promise<Membership> {
    let group = this.groups.get(name);
    if (!group) this.groups.set(name, (group = new Group(name, this.host, this.logger)));
    const member: Member = {
      topics,
      on,
      start: options.start ?? 'earliest',
      leases: new Map(),
      id: group.nextMemberId(),
    };
    group.members.push(member);
    await group.rebalance();
    return { group: name, leave: () => group.remove(member) };
  }

  async close(): Promise<void> {
    this.unsubscribe();
    for (const group of this.groups.values()) {
      while (group.members[0]) await group.remove(group.members[0]);
    }
  }
}

interface Member {
  id: string;
  topics: string[];
  on: LeaseHandler;
  start: 'earliest' | 'latest';
  leases: Map<string, EmbeddedLease>;
}

class Group {
  readonly members: Member[] = [];
  private readonly name: string;
  private readonly host: EngineHost;
  private readonly logger: Logger;
  private readonly epochs = new Map<string, number>();
  private readonly undecided = new Bag<Promise<unknown>>();
  private memberCount = 0;
  /** Rebalances run one behind the other. */
  private tail: Promise<void> = Promise.resolve();

  constructor(name: string, host: EngineHost, logger: Logger) {
    this.name = name;
    this.host = host;
    this.logger = logger.with({ group: name });
  }

  nextMemberId(): string {
    return `embedded-${++this.memberCount}`;
  }

  rebalance(): Promise<void> {
    this.tail = this.tail.then(() => this.moveLeases());
    return this.tail;
  }

  async remove(member: Member): Promise<void> {
    const at = this.members.indexOf(member);
    if (at === -1) return;
    this.members.splice(at, 1);
    this.tail = this.tail.then(async () => {
      await Promise.all([...member.leases.keys()].map(key => this.revoke(member, key)));
    });
    await this.rebalance();
  }

  private async moveLeases(): Promise<void> {
    const wanted = this.assignment();
    await Promise.all(
      this.members.flatMap(member =>
        [...member.leases.keys()]
          .filter(key => wanted.get(key)?.member !== member)
          .map(key => this.revoke(member, key)),
      ),
    );
    await Promise.all(
      [...wanted].filter(([key, to]) => !to.member.leases.has(key)).map(([key, to]) => this.assign(key, to)),
    );
    this.host.setEmbeddedMembers(
      this.name,
      this.members.map(member => ({
        memberId: member.id,
        partitions: [...member.leases.values()].map(({ topic, partition }) => ({ topic, partition })),
      })),
    );
  }

  /** Partition n of a topic goes to the n-th (modulo) of the members that subscribe to it. */
  private assignment(): Map<string, Assignment> {
    const wanted = new Map<string, Assignment>();
    for (const topic of new Set(this.members.flatMap(member => member.topics))) {
      const info = this.host.topicInfo(topic);
      if (!info) continue;
      const members = this.members.filter(member => member.topics.includes(topic));
      for (let partition = 0; partition < info.partitions; partition++) {
        const member = members[partition % members.length];
        if (member) wanted.set(`${info.topicId}-${partition}`, { member, info, partition });
      }
    }
    return wanted;
  }

  private async assign(key: string, { member, info, partition }: Assignment): Promise<void> {
    const log = this.host.partitionLog(info.name, partition);
    if (!log) return;
    const epoch = (this.epochs.get(key) ?? 0) + 1;
    this.epochs.set(key, epoch);
    const { host, undecided } = this;
    const { start } = member;
    const taking = { host, group: this.name, info, partition, epoch, log, start, undecided };
    let lease: EmbeddedLease | null = null;
    try {
      lease = await EmbeddedLease.take(taking);
      member.leases.set(key, lease);
      await member.on.assigned(lease);
    } catch (error) {
      this.logger.error('a member failed to take a partition', { topic: info.name, partition, error });
      lease?.end();
      member.leases.delete(key);
      throw error;
    }
  }

  private async revoke(member: Member, key: string): Promise<void> {
    const lease = member.leases.get(key);
    if (!lease) return;
    try {
      await member.on.revoked(lease);
    } catch (error) {
      this.logger.error('a member failed to give up a partition', {
        topic: lease.topic,
        partition: lease.partition,
        error,
      });
    } finally {
      lease.end();
      member.leases.delete(key);
    }
  }
}

interface Assignment {
  member: Member;
  info: TopicInfo;
  partition: number;
}
