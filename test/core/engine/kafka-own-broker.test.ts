import { rm } from 'node:fs/promises';
import { startBroker } from '../broker/start-broker.ts';
import { engineConformance } from './conformance.ts';
import { kafkaFixture } from './kafka-fixture.ts';

engineConformance('kafka, on our own broker over its socket', async () => {
  const config = { groupMinSessionTimeoutMs: 100 };
  let running = await startBroker({ config });
  const { directory } = running.test;
  return kafkaFixture({
    bootstrap: () => running.bootstrap,
    async crash() {
      const port = running.listener.port;
      // Nothing of the broker is closed: the next one finds what a crash would leave.
      await running.listener.close();
      running = await startBroker({ config, directory, port });
    },
    async stop() {
      await running.stop();
      await rm(directory, { recursive: true, force: true });
    },
  });
});
