/**
 * A copier on kafkajs, a program of its own. Arguments: bootstrap, from, to, id (transactional id and group), partitions,
 * transaction timeout in ms. Prints a line for each transaction; ends with 3 when it is fenced, with 1 on any other error:
 * whoever runs it starts it again.
 *
 * kafkajs sends no generation with its offsets, so only the transactional id fences: the positions are read after it was
 * claimed, and the group has no members.
 */
import kafkajs from 'kafkajs';

const [bootstrap = '', from = '', to = '', id = '', partitions = '1', timeout = '2000'] = process.argv.slice(2);
const leave = (error: unknown): never => {
  const text =
    error instanceof Error
      ? `${error.name} ${error.message} ${error.cause instanceof Error ? error.cause.message : ''}`
      : String(error);
  process.stdout.write(`error ${text}\n`);
  process.exit(/fenced|epoch|INVALID_PRODUCER/i.test(text) ? 3 : 1);
};
process.on('unhandledRejection', leave);

const kafka = new kafkajs.Kafka({
  clientId: 'copier',
  brokers: [bootstrap],
  logLevel: kafkajs.logLevel.NOTHING,
  connectionTimeout: 1000,
  requestTimeout: 10_000,
  retry: { initialRetryTime: 50, maxRetryTime: 300, retries: 10 },
});
const producer = kafka.producer({
  transactionalId: id,
  idempotent: true,
  maxInFlightRequests: 1,
  transactionTimeout: Number(timeout),
});
await producer.connect().catch(leave);
const admin = kafka.admin();
await admin.connect();
const [found] = await admin.fetchOffsets({ groupId: id, topics: [from] });
const positions = new Map(found?.partitions.map(({ partition, offset }) => [partition, Math.max(0, Number(offset))]));
await admin.disconnect();

const consumer = kafka.consumer({ groupId: `${id}-reader-${process.pid}`, maxWaitTimeInMs: 100 });
// It would begin again by itself, from where nobody told it to.
consumer.on('consumer.crash', ({ payload }) => leave(payload.error));
await consumer.connect();
await consumer.subscribe({ topics: [from], fromBeginning: true });
void consumer.run({
  autoCommit: false,
  eachBatchAutoResolve: false,
  eachBatch: async payload => {
    const { batch } = payload;
    for (let at = 0; at < batch.messages.length; at += 5) {
      const part = batch.messages.slice(at, at + 5);
      const last = part.at(-1)?.offset ?? '';
      try {
        const transaction = await producer.transaction();
        const messages = part.map(({ key, value }) => ({ key, value, partition: batch.partition }));
        await transaction.send({ topic: to, messages });
        const position = { partition: batch.partition, offset: String(Number(last) + 1) };
        await transaction.sendOffsets({ consumerGroupId: id, topics: [{ topic: from, partitions: [position] }] });
        await transaction.commit();
      } catch (error) {
        leave(error);
      }
      payload.resolveOffset(last);
      process.stdout.write(`copied ${part.length}\n`);
      await payload.heartbeat();
    }
  },
});
// Before it reads anything: run() has not joined yet.
for (let partition = 0; partition < Number(partitions); partition++) {
  consumer.seek({ topic: from, partition, offset: String(positions.get(partition) ?? 0) });
}
