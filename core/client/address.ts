import { MillstreamError } from '../base/errors.ts';

export const DEFAULT_PORT = 9092;

/** "host:port", "host" (port 9092) or "[::1]:port". Kind `invalid`, code BAD_ADDRESS. */
export function parseAddress(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text.trim());
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  if (host === undefined || port < 1 || port > 65_535) {
    throw new MillstreamError('invalid', 'BAD_ADDRESS', `'${text}' is not the address of a broker`, {
      help: 'Write it as host:port, several separated by commas.',
    });
  }
  return { host, port };
}
