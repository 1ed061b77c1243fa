import { refused } from '../kafka-error.ts';
import { fenced } from './identity.ts';
import { isExhausted, type Outcome, type ProducerIdentity, type Transaction } from './transaction.ts';

/**
 * What an EndTxn does (Kafka's TransactionCoordinator.endTransaction):
 *   'end'    the transaction ends with the outcome that was asked for
 *   'again'  the outcome is decided already, the request came again: markers that are missing are written
 *   'done'   it is over already with that outcome, or there was none: answered as a success
 *   'bump'   nothing is open, but the producer does not know and aborts (KIP-890): it gets its next epoch
 * `bumps`: the client knows KIP-890. Kind `invalid`: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, INVALID_TXN_STATE.
 */
export type EndDecision = 'end' | 'again' | 'done' | 'bump';

export function decideEnd(
  transaction: Transaction,
  producer: ProducerIdentity,
  outcome: Outcome,
  bumps: boolean,
): EndDecision {
  const { state } = transaction;
  const isRetry = bumps && !transaction.isOf(producer) && isBefore(transaction, producer);
  if (!isRetry && producer.producerId !== transaction.producerId) {
    throw refused(
      'INVALID_PRODUCER_ID_MAPPING',
      `Transactional id '${transaction.id}' does not belong to producer ${producer.producerId}.`,
    );
  }
  if (!isRetry && producer.producerEpoch !== transaction.producerEpoch) {
    throw fenced(transaction, producer);
  }
  if (state === (outcome === 'commit' ? 'CompleteCommit' : 'CompleteAbort')) {
    if (!bumps || isRetry) return 'done';
    return outcome === 'abort' ? 'bump' : wrongState(transaction, outcome);
  }
  if (state === (outcome === 'commit' ? 'PrepareCommit' : 'PrepareAbort')) return 'again';
  if (isRetry) return wrongState(transaction, outcome);
  if (state === 'Ongoing') return 'end';
  const isIdle = state === 'Empty' || state === 'CompleteCommit';
  return bumps && outcome === 'abort' && isIdle ? 'bump' : wrongState(transaction, outcome);
}

/** The identity that the transaction's end took the place of. */
function isBefore(transaction: Transaction, { producerId, producerEpoch }: ProducerIdentity): boolean {
  if (producerId === transaction.producerId) return producerEpoch === transaction.producerEpoch - 1;
  return producerId === transaction.previousProducerId && isExhausted(producerEpoch);
}

function wrongState({ id, state }: Transaction, outcome: Outcome): never {
  throw refused('INVALID_TXN_STATE', `The transaction of '${id}' cannot ${outcome}: it is ${state}.`);
}
