/** The record and batch codec, for those who see only the engine. */
export * from '../log/batch.ts';
export * from '../log/record.ts';
export { compress, decompress } from '../log/compression.ts';
