import { ApiKey } from '../protocol/api.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import { BrokerError, refuse } from './broker-error.ts';
import type { Cluster } from './cluster.ts';

/** Under which an idempotent producer numbers its batches (KIP-98). */
export interface ProducerIdentity {
  readonly producerId: number;
  readonly producerEpoch: number;
}

/** Asks any broker for a fresh identity without a transactional id. */
export async function newIdentity(cluster: Cluster): Promise<ProducerIdentity> {
  return cluster.retrying(async () => {
    const connection = await cluster.any();
    const body = { transactionalId: null, transactionTimeoutMs: 60_000 };
    const answer = await connection.send(ApiKey.InitProducerId, body);
    refuse(answer.errorCode, 'a producer id');
    return { producerId: answer.producerId, producerEpoch: answer.producerEpoch };
  });
}

const LOST: ReadonlySet<number> = new Set([
  ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
  ErrorCode.UNKNOWN_PRODUCER_ID,
  ErrorCode.INVALID_PRODUCER_EPOCH,
] satisfies number[]);

/** After this failure the broker's idea of the sequence is not known any more: a new identity must be taken. */
export function endsIdentity(error: unknown): boolean {
  if (!(error instanceof BrokerError)) return true;
  return error.retriable || LOST.has(error.errorCode);
}
