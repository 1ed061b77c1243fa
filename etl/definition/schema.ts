import { z } from 'zod';
import { duration, size } from '../../core/base/units.ts';
import { CODECS } from '../../core/engine/records.ts';
import { MOST_PAST_RECORDS } from '../abi/guest.ts';
import { testSchema } from './test-schema.ts';
import { conditionSchema } from './when.ts';

/*
 * The pipeline file (DESIGN 5) as a zod schema: types, defaults, checks, the editors' JSON schema. What needs more than
 * one key at a time is in rules.ts.
 */

/** Connector type (its TOML key) -> the schema of its table. */
export type ConnectorSchemas = ReadonlyMap<string, z.ZodType>;

const NAME = /^[a-z0-9_-]{1,63}$/;

/** Pipelines, steps, sinks, outputs: no dots, so that topic and group names can be taken apart again. */
export const nameSchema = z
  .string()
  .regex(NAME, 'a name has 1 to 63 of the characters a-z, 0-9, _ and -')
  .refine(name => name !== 'source', 'the name `source` is taken: positions of sources are kept under it');

const topicSchema = z
  .string()
  .regex(
    /^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/,
    'a topic name has 1 to 249 of the characters a-z, A-Z, 0-9, ., _ and -',
  );

const stepSchema = z.strictObject({
  name: nameSchema,
  module: z
    .string()
    .min(1)
    .describe(
      '"pii_scrubber" (newest), "pii_scrubber@1.2", "pii_scrubber@sha256:4f2a9c01" or a file: "wasm/mask.wasm".',
    ),
  on_error: z
    .enum(['dead_letter', 'drop', 'pass', 'stop'])
    .default('dead_letter')
    .describe('What becomes of a record that the module refuses; pass = unchanged, with the header millstream.error.'),
  limits: z
    .strictObject({
      memory: size({ min: 64 * 1024, max: 4 * 2 ** 30 })
        .default(64 * 2 ** 20)
        .describe('Memory of one instance. Default "64MiB".'),
      time: duration({ min: 1 }).default(5000).describe('Time for one record. Default "5s".'),
      fuel: z
        .number()
        .int()
        .min(1)
        .optional()
        .describe(
          'WebAssembly instructions for one record: who needs more fails with the code FUEL on every machine. Left out: they are not counted.',
        ),
      state: size({ min: 1024, max: 2 ** 30 })
        .default(64 * 2 ** 20)
        .describe('What a module with state may keep for one partition. Default "64MiB".'),
    })
    .prefault({}),
  max_failures: z
    .strictObject({ in_a_row: z.number().int().min(1).describe('After so many the step stops instead.') })
    .optional()
    .describe('A broken deploy does not turn a topic into dead letters.'),
  idle_after: duration({ min: 10 })
    .default(10_000)
    .describe('For modules with timers: a partition without records for so long goes on by the clock. Default "10s".'),
  look_back: z
    .strictObject({
      last: z.number().int().min(1).max(MOST_PAST_RECORDS).optional().describe('So many records.'),
      age: duration({ min: 1 }).optional().describe('None older than this before the record at hand.'),
    })
    .refine(({ last, age }) => last !== undefined || age !== undefined, 'write `last`, `age` or both')
    .optional()
    .describe('What a Fluvio SmartModule with look_back is shown of the source topic before it begins.'),
  shadow: z
    .strictObject({
      module: z.string().min(1).describe('As `module`: "x@2".'),
      sample: z.number().gt(0).max(1).default(0.05).describe('Which part of the tasks it is given too. Default 0.05.'),
    })
    .optional()
    .describe(
      'Another module that is tried on some of the records, with the same config; it emits nothing, and differences are told.',
    ),
  config: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('Handed to the module: as JSON, as environment variables (Redpanda), as params (Fluvio).'),
});

const outputSchema = z.strictObject({
  topic: topicSchema.optional(),
  retention: duration().optional().describe('How long the topic keeps records; left out: the broker decides.'),
  compression: z.enum(CODECS).default('none'),
  max_backlog: size({ min: 1 })
    .default(5 * 2 ** 30)
    .describe('What sinks may leave unread before the pipeline pauses. Default "5GiB".'),
  on_backlog: z.enum(['pause', 'detach_sink']).default('pause'),
  partition_by: z
    .enum(['source', 'key'])
    .default('source')
    .describe('source = the partition it came from; key = by a hash of the key, as Kafka clients do.'),
  partitions: z.number().int().min(1).optional().describe('With partition_by = "key".'),
});

const sinkSettings = {
  from: z.string().default('default').describe('The output that it reads.'),
  when: conditionSchema.optional().describe('Left out: every record.'),
  batch: z
    .strictObject({
      records: z.number().int().min(1).default(500),
      bytes: size({ min: 1 }).default(4 * 2 ** 20),
      linger: duration().default(1000).describe('How long an unfull batch waits. Default "1s".'),
    })
    .prefault({}),
  retry: z
    .strictObject({
      attempts: z
        .number()
        .int()
        .min(1)
        .default(8)
        .describe('Tries of a batch whose error nobody can classify; the first counts.'),
      from: duration({ min: 1 }).default(200),
      to: duration({ min: 1 }).default(30_000),
      on_exhausted: z.enum(['wait', 'dead_letter', 'stop']).default('wait'),
    })
    .prefault({}),
  on_gap: z.enum(['stop', 'skip']).default('stop').describe('What to do when the position is no longer in the log.'),
};

/** Keys of a sink's table that are not connector types. */
export const SINK_SETTINGS: readonly string[] = Object.keys(sinkSettings);
export const SOURCE_SETTINGS: readonly string[] = ['topic', 'start'];

/** The schema of the file; connector tables are what the given schemas say. */
export function pipelineSchema(types: { sinks: ConnectorSchemas; sources: ConnectorSchemas }) {
  return z.strictObject({
    name: nameSchema.describe('Names the topics, groups and metrics of this pipeline.'),
    description: z.string().optional(),
    source: z
      .strictObject({
        topic: topicSchema.optional().describe('The topic to read.'),
        start: z
          .enum(['earliest', 'latest'])
          .default('earliest')
          .describe('Where a pipeline without a position begins.'),
        ...optionalTables(types.sources),
      })
      .describe('A topic, or one connector table that fills the topic "<name>.in".'),
    step: z.array(stepSchema).default([]).describe('Run in this order, one WebAssembly module each.'),
    outputs: z
      .record(nameSchema, z.union([topicSchema, outputSchema]))
      .default({})
      .describe('Topic of each output; "default" goes to "<name>.out" when left out.'),
    sinks: z
      .record(nameSchema, z.strictObject({ ...sinkSettings, ...optionalTables(types.sinks) }))
      .default({})
      .describe('Each reads an output and writes it to one outside system.'),
    dead_letter: z
      .strictObject(optionalTables(types.sinks))
      .optional()
      .describe('Where dead letters are drained to; left out: to files; an empty table: they stay in "<name>.dead".'),
    test: z.array(testSchema).default([]).describe('Cases for `millstream pipeline test`.'),
  });
}

export type PipelineFile = z.output<ReturnType<typeof pipelineSchema>>;
export type SinkTable = PipelineFile['sinks'][string];

function optionalTables(schemas: ConnectorSchemas): Record<string, z.ZodOptional<z.ZodType>> {
  return Object.fromEntries([...schemas].map(([type, schema]) => [type, schema.optional()]));
}

/** The same types with nothing said about their tables: those are checked one by one. */
export function opaque(schemas: ConnectorSchemas): ConnectorSchemas {
  return new Map([...schemas.keys()].map(type => [type, z.unknown()]));
}
