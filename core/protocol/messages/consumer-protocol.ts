import { array, bytes, type Decoded, int32, message, string } from '../schema.ts';

/*
 * What the members of a group of protocol type "consumer" put into JoinGroup's metadata and SyncGroup's assignment
 * (KIP-429, KIP-792, KIP-881). Behind an int16 version: see versioned.ts.
 */
export const CONSUMER_PROTOCOL_TYPE = 'consumer';

const topicPartitions = { topic: string(), partitions: array(int32()) };

export const ConsumerSubscription = message('ConsumerProtocolSubscription', '0-3', 'none', {
  topics: array(string()),
  userData: bytes('0+', { nullable: '0+', default: null }),
  ownedPartitions: array(topicPartitions, '1+'),
  generationId: int32('2+', { default: -1 }),
  rackId: string('3+', { nullable: '3+', default: null }),
});
export type ConsumerSubscription = Decoded<typeof ConsumerSubscription>;

export const ConsumerAssignment = message('ConsumerProtocolAssignment', '0-3', 'none', {
  assignedPartitions: array(topicPartitions),
  userData: bytes('0+', { nullable: '0+', default: null }),
});
export type ConsumerAssignment = Decoded<typeof ConsumerAssignment>;
