import { ApiKey } from '../protocol/api.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import { BrokerError } from './broker-error.ts';
import type { Cluster } from './cluster.ts';

/** What the broker says of one partition's batch. */
export interface ProduceAnswer {
  errorCode: number;
  errorMessage: string | null;
  baseOffset: number;
  /** Milliseconds; -1 unless the topic stamps records itself. */
  logAppendTimeMs: number;
}

interface Part {
  topic: string;
  partition: number;
  batch: Uint8Array;
  resolve(answer: ProduceAnswer): void;
  reject(error: unknown): void;
}

/** Puts the batches that become ready for one broker in the same turn into one Produce request. */
export class ProduceCombiner {
  private readonly cluster: Cluster;
  private readonly acks: number;
  private readonly timeoutMs: number;
  private readonly transactionalId: string | null;
  private readonly byLeader = new Map<number, Part[]>();

  constructor(cluster: Cluster, acks: number, timeoutMs: number, transactionalId: string | null = null) {
    this.transactionalId = transactionalId;
    this.cluster = cluster;
    this.acks = acks;
    this.timeoutMs = timeoutMs;
  }

  /** At most one batch of a partition may be under way. */
  send(leader: number, topic: string, partition: number, batch: Uint8Array): Promise<ProduceAnswer> {
    return new Promise((resolve, reject) => {
      const part = { topic, partition, batch, resolve, reject };
      const waiting = this.byLeader.get(leader);
      if (waiting) {
        waiting.push(part);
        return;
      }
      this.byLeader.set(leader, [part]);
      queueMicrotask(() => {
        const parts = this.byLeader.get(leader) ?? [];
        this.byLeader.delete(leader);
        void this.request(leader, parts);
      });
    });
  }

  private async request(leader: number, parts: readonly Part[]): Promise<void> {
    try {
      const byTopic = Map.groupBy(parts, part => part.topic);
      const topicData = Array.from(byTopic, ([name, own]) => ({
        name,
        partitionData: own.map(part => ({ index: part.partition, records: part.batch })),
      }));
      const connection = await this.cluster.broker(leader);
      const { acks, timeoutMs, transactionalId } = this;
      const body = { transactionalId, acks, timeoutMs, topicData };
      const response = await connection.send(ApiKey.Produce, body, { waitMs: timeoutMs });
      const answers = new Map<string, ProduceAnswer>();
      for (const { name, partitionResponses } of response.responses) {
        for (const answer of partitionResponses) answers.set(`${name}-${answer.index}`, answer);
      }
      for (const part of parts) {
        const answer = answers.get(`${part.topic}-${part.partition}`);
        if (answer) part.resolve(answer);
        else part.reject(new BrokerError(ErrorCode.UNKNOWN_SERVER_ERROR, `${part.topic}-${part.partition}`));
      }
    } catch (error) {
      for (const part of parts) part.reject(error);
    }
  }
}
