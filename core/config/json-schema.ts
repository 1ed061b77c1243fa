import { z } from 'zod';

/** JSON Schema (draft-7, what editors understand) of what a file may hold: tables take no keys but those named. */
export function editorSchema(schema: z.ZodType, title: string): object {
  const made = z.toJSONSchema(schema, {
    io: 'input',
    target: 'draft-7',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      const { def } = zodSchema as unknown as { def: z.core.$ZodTypes['_zod']['def'] };
      // A schema that is not strict is one to us all the same: see unknownKeys.
      if (def.type === 'object' && !def.catchall) jsonSchema.additionalProperties = false;
      // Every whole number has the same bounds; they tell nobody anything.
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      // The default of a table is what its keys say.
      if (typeof jsonSchema.default === 'object' && jsonSchema.type === 'object') delete jsonSchema.default;
    },
  });
  return { ...made, title };
}
