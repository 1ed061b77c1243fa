import { startBroker } from '../broker/start-broker.ts';
import { clientSuite } from './client-suite.ts';

clientSuite('our client and our broker', () => startBroker());
