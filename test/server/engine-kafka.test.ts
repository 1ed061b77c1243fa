import { startBroker } from '../core/broker/start-broker.ts';
import { engineKafkaSuite } from './engine-kafka-suite.ts';

engineKafkaSuite('with our own broker as the cluster', () => startBroker());
