import type { Cluster } from './cluster.ts';
import { GroupAdmin } from './group-admin.ts';
import { TopicAdmin } from './topic-admin.ts';

/** What a person asks of a cluster: its topics and its groups. */
export class Admin {
  readonly topics: TopicAdmin;
  readonly groups: GroupAdmin;

  constructor(cluster: Cluster) {
    this.topics = new TopicAdmin(cluster);
    this.groups = new GroupAdmin(cluster);
  }
}
