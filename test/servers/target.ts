/** The server under test: ours, or a real Apache Kafka to prove that the suite itself asks for the right things. */
export interface Target {
  kind: 'millstream' | 'kafka';
  /** host:port of the Kafka listener. */
  bootstrap: string;
  /** Base address of our HTTP listener; null for Apache Kafka. */
  httpUrl: string | null;
  pid(): number;
  /** From the start of the process to its first answer. */
  startupMs: number;
  /** Stops the server and removes its files. */
  stop(): Promise<void>;
}

/** A target that can be killed and comes back on the same address with the same data. */
export interface KillableTarget extends Target {
  kill9(): Promise<void>;
  /** Starts it again and waits for its first answer. */
  restart(): Promise<void>;
}

/** `TARGET=kafka` or `TARGET=millstream` (the default). */
export function targetKind(): Target['kind'] {
  const kind = process.env['TARGET'] ?? 'millstream';
  if (kind !== 'kafka' && kind !== 'millstream') throw new Error(`TARGET is "${kind}"; it must be kafka or millstream`);
  return kind;
}
