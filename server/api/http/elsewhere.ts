import type { FastifyInstance } from 'fastify';
import { MillstreamError } from '../../../core/base/errors.ts';

/** Instead of the routes that need a broker in this process: says where the topics are (501). */
export function elsewhereRoutes(app: FastifyInstance): void {
  const say = (message: string, help: string) => (): never => {
    throw new MillstreamError('invalid', 'TOPICS_ELSEWHERE', message, { help });
  };
  const records = say(
    'the topics of this server live in a Kafka cluster ([engine] kind = "kafka"): their records are not served over HTTP',
    'Use `millstream produce` and `millstream consume`, or any Kafka client.',
  );
  const lineage = say(
    'trace and audit read what our own broker keeps beside every commit; the topics of this server live in a Kafka cluster, which keeps nothing of the kind',
    'They work with [engine] kind = "embedded".',
  );
  app.get('/api/v1/topics/:name/records', records);
  app.post('/api/v1/topics/:name/records', records);
  app.get('/api/v1/trace/:topic/:partition/:offset', lineage);
  app.get('/api/v1/pipelines/:name/audit', lineage);
}
