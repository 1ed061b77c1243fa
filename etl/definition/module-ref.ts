import type { Abi } from '../sandbox/sandbox.ts';

/** What a step's `module` says: a name or a .wasm file, and maybe a version or the beginning of a sha256. */
export interface ModuleRef {
  name: string;
  version: string | null;
  sha256: string | null;
}

const FILE_REF = /^(.+\.wasm)(?:@sha256:([0-9a-f]{8,64}))?$/;
const REF = /^([a-z0-9][a-z0-9_.-]{0,62})(?:@(?:sha256:([0-9a-f]{8,64})|(\d[0-9A-Za-z.+-]*)))?$/;

/** "pii_scrubber", "pii_scrubber@1.2", "pii_scrubber@sha256:4f2a9c01", "wasm/mask.wasm"; null when it is none of these. */
export function parseModuleRef(text: string): ModuleRef | null {
  const file = FILE_REF.exec(text);
  if (file?.[1]) return { name: file[1], version: null, sha256: file[2] ?? null };
  const match = REF.exec(text);
  if (!match?.[1]) return null;
  return { name: match[1], version: match[3] ?? null, sha256: match[2] ?? null };
}

export interface FoundModule {
  name: string;
  version: string;
  sha256: string;
  abi: Abi;
  /** It takes something out of the record: `on_error = "pass"` would let that through. */
  redacts: boolean;
  /** It keeps state; `timers`: it sets timers too. null, left out: it keeps none. */
  state?: { timers: boolean } | null;
  /** JSON Schema of its config. */
  configSchema?: object;
}

/** The modules that a pipeline may name. */
export interface ModuleCatalog {
  /** The newest that fits; `version` may be a prefix ("1.2"), `sha256` the first digits. Throws kind `invalid` when it is
   * there and cannot be run. */
  find(name: string, version: string | null, sha256: string | null): FoundModule | null;
  names(): string[];
}
