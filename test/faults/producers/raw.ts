/**
 * An idempotent producer by hand: five requests in flight per partition (the most that Kafka's protocol allows), and
 * after a lost connection every unacked batch again, with the same sequence numbers, in the same order.
 */
import type { Random } from '../../../core/base/random.ts';
import { sleep } from '../../servers/process.ts';
import { Wire } from '../../servers/wire.ts';
import { encodeBatch } from '../../servers/wire-batch.ts';
import { type Producer, valueOf } from './producer.ts';

const IN_FLIGHT = 5;
const DUPLICATE_SEQUENCE_NUMBER = 46;
/** Errors after which the same batch may be sent again: leadership, time-outs, storage. */
const RETRIABLE = new Set([3, 5, 6, 7, 56]);

interface Batch {
  partition: number;
  first: number;
  count: number;
  bytes: Buffer;
}

export async function startRaw(
  bootstrap: string,
  topic: string,
  partitions: number,
  random: Random,
  firstPartition = 0,
  value: (n: number) => string = valueOf,
): Promise<Producer> {
  const unacked: Batch[][] = Array.from({ length: partitions }, () => []);
  const next = new Array<number>(partitions).fill(0);
  const setUp = await Wire.connect(bootstrap);
  const { producerId, producerEpoch } = await setUp.initProducerId();
  setUp.close();

  const producer: Producer = {
    name: 'raw',
    topic,
    firstPartition,
    partitions,
    acked: new Array<number>(partitions).fill(0),
    unknown: Array.from({ length: partitions }, () => new Set<number>()),
    violation: undefined,
    async finish() {
      finishing = true;
      await running;
    },
  };
  let finishing = false;

  const newBatch = (partition: number): Batch => {
    const first = next[partition] ?? 0;
    const count = 1 + Math.floor(random.float() * 20);
    next[partition] = first + count;
    const values = Array.from({ length: count }, (_, i) => Buffer.from(value(first + i)));
    const bytes = encodeBatch({ values, producerId, producerEpoch, baseSequence: first });
    return { partition, first, count, bytes };
  };

  /** One connection's life for one partition: what is unacked first, then new batches. Ends when the connection fails. */
  const drive = async (wire: Wire, partition: number): Promise<void> => {
    const waiting = unacked[partition] ?? [];
    const flying: { batch: Batch; answer: Promise<{ error: number }> }[] = [];
    let resend = 0;
    while (producer.violation === undefined) {
      while (flying.length < IN_FLIGHT) {
        let batch = waiting[resend];
        if (batch === undefined) {
          if (finishing) break;
          batch = newBatch(partition);
          waiting.push(batch);
        }
        resend++;
        const answer = wire.produce(topic, firstPartition + partition, batch.bytes);
        answer.catch(() => {});
        flying.push({ batch, answer });
      }
      const oldest = flying.shift();
      if (oldest === undefined) return;
      const { error } = await oldest.answer;
      if (error === 0 || error === DUPLICATE_SEQUENCE_NUMBER) {
        waiting.shift();
        resend--;
        producer.acked[partition] = oldest.batch.first + oldest.batch.count;
        // Whoever reads all of this must not be outrun.
        await sleep(5);
      } else if (RETRIABLE.has(error)) {
        // The batches behind it are refused as out of order; all of them again, from this one on.
        await Promise.allSettled(flying.map(one => one.answer));
        flying.length = 0;
        resend = 0;
        await sleep(20);
      } else {
        producer.violation = `partition ${partition}, records ${oldest.batch.first}+${oldest.batch.count}: error ${error}`;
      }
    }
  };

  const run = async (): Promise<void> => {
    while (producer.violation === undefined) {
      let wire: Wire;
      try {
        wire = await Wire.connect(bootstrap);
      } catch {
        await sleep(20);
        continue;
      }
      const lives = await Promise.allSettled(unacked.map((_, partition) => drive(wire, partition)));
      wire.close();
      if (lives.every(life => life.status === 'fulfilled')) return;
    }
  };
  const running = run();
  return producer;
}
