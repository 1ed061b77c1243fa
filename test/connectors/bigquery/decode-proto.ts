import { protobuf } from 'google-gax';
import type { DescriptorProto } from '../../../connectors/bigquery/encode/descriptor.ts';

/** Reads rows by their descriptor with protobufjs: the second opinion on our own encoder. */
export function decoderFor(descriptor: DescriptorProto): (row: Uint8Array) => Record<string, unknown> {
  const root = protobuf.Root.fromJSON({ nested: { Row: messageJson(descriptor) as never } });
  const type = root.lookupType('Row');
  return row => type.toObject(type.decode(row), { longs: String, bytes: String });
}

const TYPES: Record<string, string> = {
  TYPE_INT64: 'int64',
  TYPE_INT32: 'int32',
  TYPE_DOUBLE: 'double',
  TYPE_BOOL: 'bool',
  TYPE_BYTES: 'bytes',
  TYPE_STRING: 'string',
};

const RULES: Record<string, string> = { LABEL_REPEATED: 'repeated', LABEL_REQUIRED: 'required' };

function messageJson({ field, nestedType }: DescriptorProto): object {
  return {
    fields: Object.fromEntries(
      field.map(({ name, number, label, type, typeName }) => {
        const rule = RULES[label];
        const options = rule === 'repeated' ? { options: { packed: false } } : {};
        return [name, { id: number, type: typeName ?? TYPES[type], ...(rule ? { rule } : {}), ...options }];
      }),
    ),
    nested: Object.fromEntries(nestedType.map(nested => [nested.name, messageJson(nested)])),
  };
}
