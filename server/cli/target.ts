import type { ClusterAccess } from '../config/security.ts';
import { formatAddress } from '../config/values.ts';
import { requireSettings } from '../settings.ts';
import { ACCESS_OPTIONS, accessOf } from './access.ts';
import type { Io, OptionSpec, Values } from './command.ts';
import { text, usageError } from './command.ts';

/** Which server a command talks to: what an option says, else the addresses in the configuration. */

export const SERVER_OPTION: Record<string, OptionSpec> = {
  server: { type: 'string', help: 'the HTTP address of the server (default: from the configuration)' },
};

export const BROKERS_OPTION: Record<string, OptionSpec> = {
  brokers: {
    type: 'string',
    short: 'b',
    help: 'host:port of any Kafka-protocol brokers, comma separated (or MILLSTREAM_BROKERS; default: from the configuration)',
  },
  ...ACCESS_OPTIONS,
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

export interface BrokersTarget extends ClusterAccess {
  brokers: string[];
}

export function brokersOf(values: Values, io: Io): BrokersTarget {
  const option = text(values, 'brokers');
  const named = option ?? (io.env['MILLSTREAM_BROKERS'] || undefined);
  if (named !== undefined) {
    const brokers = named.split(',').map(each => each.trim());
    if (brokers.includes('')) {
      const name = option === undefined ? 'MILLSTREAM_BROKERS' : '--brokers';
      throw usageError(`${name} takes host:port, several separated by commas`);
    }
    return { brokers, ...accessOf(values, io) };
  }
  const { config, baseDirectory } = requireSettings(text(values, 'config'), io.env, io.cwd);
  const { kind, kafka } = config.engine;
  if (kind === 'kafka') return { brokers: kafka.brokers, ...accessOf(values, io, { security: kafka, baseDirectory }) };
  return {
    brokers: [formatAddress(config.network.advertised ?? config.network.kafka_listen)],
    ...accessOf(values, io),
  };
}
