import { formatAddress } from '../config/values.ts';
import { requireSettings } from '../settings.ts';
import type { Io, OptionSpec, Values } from './command.ts';
import { text, usageError } from './command.ts';

/** Which server a command talks to: what an option says, else the addresses in the configuration. */

export const SERVER_OPTION: Record<string, OptionSpec> = {
  server: { type: 'string', help: 'the HTTP address of the server (default: from the configuration)' },
};

export const BROKERS_OPTION: Record<string, OptionSpec> = {
  brokers: { type: 'string', short: 'b', help: 'host:port of any Kafka-protocol brokers, comma separated' },
};

export function serverOf(values: Values, io: Io): string {
  const named = text(values, 'server');
  if (named !== undefined) {
    const url = named.includes('://') ? named : `http://${named}`;
    if (!/^https?:/.test(url) || !URL.canParse(url)) {
      throw usageError(`--server takes an address such as http://127.0.0.1:9642, not "${named}"`);
    }
    return url;
  }
  const { config } = requireSettings(text(values, 'config'), io.env, io.cwd);
  return `http://${formatAddress(config.network.http_listen)}`;
}

export function brokersOf(values: Values, io: Io): string[] {
  const named = text(values, 'brokers');
  if (named !== undefined) {
    const brokers = named.split(',').map(each => each.trim());
    if (brokers.includes('')) throw usageError('--brokers takes host:port, several separated by commas');
    return brokers;
  }
  const { config } = requireSettings(text(values, 'config'), io.env, io.cwd);
  return [formatAddress(config.network.advertised ?? config.network.kafka_listen)];
}
