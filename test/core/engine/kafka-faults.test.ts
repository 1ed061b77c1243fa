import { startBroker } from '../broker/start-broker.ts';
import { kafkaFaultsSuite } from './kafka-faults-suite.ts';

kafkaFaultsSuite('on our own broker', () => startBroker({ config: { groupMinSessionTimeoutMs: 100 } }));
