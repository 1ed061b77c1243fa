import { startBroker } from '../core/broker/start-broker.ts';
import { kafkaSinkSuite } from './kafka-suite.ts';

kafkaSinkSuite(
  'over the socket of our own broker',
  async () => {
    const broker = await startBroker({ config: { groupMinSessionTimeoutMs: 100 } });
    return { bootstrap: broker.bootstrap, done: () => broker.stop() };
  },
  { 'a committed stream': { storage_write_api: { stream: 'committed' } } },
);
