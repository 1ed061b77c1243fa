/**
 * The step's `config` as the foreign ABIs know it, names and texts: text as it is, numbers and truth values as they are
 * written, tables and arrays as JSON.
 */
export function configPairs(config: unknown): [name: string, text: string][] {
  if (typeof config !== 'object' || config === null) return [];
  return Object.entries(config).map(([name, value]) => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
}

const ENVIRONMENT = { variables: 128, nameBytes: 128, valueBytes: 2048 } as const;

/** What stands against this config as a Redpanda transform's environment, by key; "" is the whole. Redpanda's limits. */
export function checkEnvironment(config: unknown): [key: string, why: string][] {
  const pairs = configPairs(config);
  const found: [string, string][] = [];
  if (pairs.length > ENVIRONMENT.variables) {
    found.push([
      '',
      `a transform has at most ${ENVIRONMENT.variables} environment variables, these are ${pairs.length}`,
    ]);
  }
  for (const [name, value] of pairs) {
    if (name === '' || name.includes('=')) found.push([name, 'the name of an environment variable has no "="']);
    else if (name.startsWith('REDPANDA_')) found.push([name, 'names that begin with REDPANDA_ are taken']);
    else if (Buffer.byteLength(name) > ENVIRONMENT.nameBytes) {
      found.push([name, `the name of an environment variable has at most ${ENVIRONMENT.nameBytes} bytes`]);
    } else if (Buffer.byteLength(value) > ENVIRONMENT.valueBytes) {
      found.push([name, `an environment variable has at most ${ENVIRONMENT.valueBytes} bytes`]);
    } else if (value.includes('\0')) found.push([name, 'an environment variable cannot hold the character NUL']);
  }
  return found;
}

const MOST_PARAM_BYTES = 32_767;

/** What stands against this config as a SmartModule's params, by key. The protocol's limits. */
export function checkParams(config: unknown): [key: string, why: string][] {
  return configPairs(config).flatMap(([name, value]) =>
    Math.max(Buffer.byteLength(name), Buffer.byteLength(value)) > MOST_PARAM_BYTES
      ? [[name, `a param of a SmartModule has at most ${MOST_PARAM_BYTES} bytes`] as [string, string]]
      : [],
  );
}
