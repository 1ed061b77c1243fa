/** Is a Kafka listener answering? The oldest request there is: ApiVersions version 0. */
import { connect } from 'node:net';

// size 12 · api key 18 · version 0 · correlation id 7 · client id "up"
const REQUEST = Buffer.from('0000000c001200000000000700027570', 'hex');

/** True when the first bytes of an answer with our correlation id have come. */
export function answersKafka(port: number, timeoutMs = 1000): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    let received = Buffer.alloc(0);
    socket.setTimeout(timeoutMs, () => done(false));
    socket.on('error', () => done(false));
    socket.on('close', () => done(false));
    socket.on('connect', () => socket.write(REQUEST));
    socket.on('data', chunk => {
      received = Buffer.concat([received, chunk]);
      if (received.length >= 8) done(received.readInt32BE(4) === 7);
    });
  });
}
