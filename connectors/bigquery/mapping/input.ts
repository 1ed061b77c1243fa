import type { Disk } from '../../../core/base/disk.ts';
import { readFile } from '../../../core/base/read-file.ts';
import { SinkError } from '../../runtime/sink-error.ts';
import type { BigQueryConfig } from '../config.ts';
import { avroDecoder } from './avro.ts';
import { type Decoder, decodeJson } from './decoder.ts';

/** The decoder that `[input]` asks for; reads Avro schemas from their files. */
export async function decoderOf(
  input: BigQueryConfig['input'],
  disk: Disk,
  resolvePath: (path: string) => string,
): Promise<Decoder> {
  if (input.format === 'json') return decodeJson;
  const byId = new Map<number, string>();
  for (const [id, path] of Object.entries(input.schemas)) byId.set(Number(id), await textOf(disk, resolvePath(path)));
  const plain = input.schema_file === undefined ? null : await textOf(disk, resolvePath(input.schema_file));
  try {
    return await avroDecoder({ plain, byId });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SinkError('fatal', 'BAD_AVRO_SCHEMA', `an Avro schema cannot be used: ${why}`, { cause });
  }
}

async function textOf(disk: Disk, path: string): Promise<string> {
  try {
    return (await readFile(disk, path)).toString();
  } catch (cause) {
    throw new SinkError('fatal', 'NO_AVRO_SCHEMA', `the Avro schema ${path} cannot be read`, { cause });
  }
}
