import type { ChainSpec } from './sandbox.ts';

/** The same for the lanes of one pipeline, until other modules do its work. */
export const chainKey = ({ pipeline, steps }: ChainSpec): string =>
  [pipeline, ...steps.map(({ module }) => module.sha256)].join('/');
