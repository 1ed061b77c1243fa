import { z } from 'zod';
import { nearest } from '../../core/config/did-you-mean.ts';

/** A host and port to listen on or to be reached at. Port 0 = any free port. */
export interface Address {
  host: string;
  port: number;
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** "127.0.0.1:9092", "[::1]:9092", ":9092" (all interfaces); null when it is none. */
export function parseAddress(text: string): Address | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]*)):(\d{1,5})$/.exec(text.trim());
  if (!match) return null;
  const port = Number(match[3]);
  return port > 65535 ? null : { host: match[1] ?? (match[2] || '0.0.0.0'), port };
}

export const address: z.ZodType<Address> = z
  .unknown()
  .transform((given, context) => {
    const parsed = typeof given === 'string' ? parseAddress(given) : null;
    if (parsed) return parsed;
    const shown = typeof given === 'string' || typeof given === 'number' ? ` (found "${given}")` : '';
    context.addIssue({ code: 'custom', message: `expected host:port such as "127.0.0.1:9092"${shown}` });
    return z.NEVER;
  })
  .meta({ type: 'string' });

/** One of some words in any case; `aliases` are further spellings of them, `other` reads what is not a word. */
export function choice<const Words extends readonly string[], Other extends object = never>(
  words: Words,
  aliases: Readonly<Record<string, Words[number]>> = {},
  other?: (value: unknown) => Other | null,
): z.ZodType<Words[number] | Other> {
  return z
    .unknown()
    .transform((given, context): Words[number] | Other => {
      const lower = typeof given === 'string' ? given.toLowerCase() : '';
      const found = words.find(each => each.toLowerCase() === lower) ?? aliases[lower] ?? other?.(given);
      if (found !== undefined && found !== null) return found;
      const list = words.map(each => `"${each}"`).join(', ');
      const near = nearest(lower, words);
      const params = near === null ? {} : { help: `did you mean "${near}"?` };
      context.addIssue({ code: 'custom', message: `expected one of ${list}`, params });
      return z.NEVER;
    })
    .meta(other ? {} : { type: 'string', enum: [...words] });
}
