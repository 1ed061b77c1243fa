import type { Logger } from '../base/logger.ts';
import { ErrorCode, errorCodeOf } from './kafka-error.ts';
import type { ProducerIds } from './producer-ids.ts';
import type { Handler } from './request.ts';

/** Idempotent producers get a fresh id each time; a transactional one is told that there are no transactions yet. */
export function initProducerIdHandler(ids: ProducerIds, logger: Logger): Handler<22> {
  return async body => {
    if (body.transactionalId !== null) {
      logger.warn('a producer asked for transactions, which this broker does not have yet', {
        transactional_id: body.transactionalId,
      });
      return { errorCode: ErrorCode.INVALID_REQUEST, producerId: -1, producerEpoch: -1 };
    }
    try {
      return { errorCode: ErrorCode.NONE, producerId: await ids.take(), producerEpoch: 0 };
    } catch (error) {
      const failed = errorCodeOf(error);
      const retriable = failed === ErrorCode.KAFKA_STORAGE_ERROR ? ErrorCode.COORDINATOR_NOT_AVAILABLE : failed;
      return { errorCode: retriable, producerId: -1, producerEpoch: -1 };
    }
  };
}
