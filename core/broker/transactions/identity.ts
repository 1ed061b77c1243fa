import type { MillstreamError } from '../../base/errors.ts';
import { refused } from '../kafka-error.ts';
import { isExhausted, type ProducerIdentity, type Transaction } from './transaction.ts';

/** What an InitProducerId leads to. */
export interface NextIdentity extends ProducerIdentity {
  lastEpoch: number;
  previousProducerId: number;
}

/**
 * Refuses a producer that is not (or no longer) the owner of its id. `expected` is who it says that it is, null from
 * one that starts anew. Kind `invalid`, PRODUCER_FENCED.
 */
export function checkExpected(transaction: Transaction, expected: ProducerIdentity | null): void {
  if (!expected || transaction.producerEpoch === -1) return;
  const { producerId, producerEpoch } = expected;
  const isCurrent = producerId === transaction.producerId;
  // The bump that exhausted the epochs gave it a new id, and its answer was lost.
  const isPrevious = producerId === transaction.previousProducerId && isExhausted(producerEpoch);
  const isKnown = producerEpoch === transaction.producerEpoch || producerEpoch === transaction.lastEpoch;
  if ((isCurrent || isPrevious) && isKnown) return;
  throw fenced(transaction, expected);
}

export function fenced({ id }: Transaction, { producerId, producerEpoch }: ProducerIdentity): MillstreamError {
  return refused('PRODUCER_FENCED', `Producer ${producerId}, epoch ${producerEpoch}, no longer owns '${id}'.`);
}

/** Kafka's TransactionMetadata.prepareIncrementProducerEpoch and prepareProducerIdRotation (KIP-360). */
export async function nextIdentity(
  transaction: Transaction,
  expected: ProducerIdentity | null,
  newProducerId: () => Promise<number>,
): Promise<NextIdentity> {
  const { producerId, producerEpoch, lastEpoch, previousProducerId } = transaction;
  if (producerEpoch === -1) return { producerId, producerEpoch: 0, lastEpoch: -1, previousProducerId };
  const isRetry = expected !== null && expected.producerEpoch !== producerEpoch && expected.producerEpoch === lastEpoch;
  if (isRetry) return { producerId, producerEpoch, lastEpoch, previousProducerId };
  const remembered = expected ? producerEpoch : -1;
  if (isExhausted(producerEpoch)) {
    return {
      producerId: await newProducerId(),
      producerEpoch: 0,
      lastEpoch: remembered,
      previousProducerId: producerId,
    };
  }
  return { producerId, producerEpoch: producerEpoch + 1, lastEpoch: remembered, previousProducerId };
}
