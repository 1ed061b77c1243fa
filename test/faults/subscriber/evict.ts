import { Admin } from '../../../core/client/admin.ts';
import type { Cluster } from '../../../core/client/cluster.ts';
import { BrokerError } from '../../../core/client/broker-error.ts';
import { ApiKey } from '../../../core/protocol/api.ts';
import { ErrorCode } from '../../../core/protocol/error-codes.ts';

/** Tells a group that its members are dead, as it would find out by itself after the session timeout. */
export const evictorOf =
  (cluster: Cluster) =>
  async (group: string): Promise<void> => {
    const { members } = await new Admin(cluster).groups.describe(group).catch((error: unknown) => {
      // Dead before it ever joined.
      if (error instanceof BrokerError && error.errorCode === ErrorCode.GROUP_ID_NOT_FOUND) return { members: [] };
      throw error;
    });
    for (const { memberId } of members) {
      const leave = { groupId: group, memberId, members: [{ memberId }] };
      await cluster.toCoordinator(group, ApiKey.LeaveGroup, leave);
    }
  };
