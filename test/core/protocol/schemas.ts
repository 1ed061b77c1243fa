import { APIS } from '../../../core/protocol/api.ts';
import { ConsumerAssignment, ConsumerSubscription } from '../../../core/protocol/messages/consumer-protocol.ts';
import * as internal from '../../../core/protocol/messages/internal-records.ts';
import type { Schema } from '../../../core/protocol/schema.ts';

/** Every message that the table declares. */
export const ALL_SCHEMAS: readonly Schema[] = [
  ...Object.values(APIS).flatMap((api): Schema[] => [api.request, api.response]),
  ConsumerSubscription,
  ConsumerAssignment,
  internal.OffsetCommitKey,
  internal.OffsetCommitValue,
  internal.GroupMetadataKey,
  internal.GroupMetadataValue,
  internal.TransactionLogKey,
  internal.TransactionLogValue,
];

export function versionsOf(schema: Schema): number[] {
  const [from, to] = schema.versions;
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
