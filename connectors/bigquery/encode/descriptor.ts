import type { Column } from '../schema/columns.ts';

/**
 * The writer schema of an append: google.protobuf.DescriptorProto (descriptor.proto) in its JSON form, for rows as
 * `row-encoder.ts` writes them. Proto types after cloud.google.com/bigquery/docs/write-api#data_type_conversions.
 */

export interface DescriptorProto {
  name: string;
  field: FieldDescriptor[];
  nestedType: DescriptorProto[];
}

export interface FieldDescriptor {
  name: string;
  number: number;
  label: 'LABEL_OPTIONAL' | 'LABEL_REQUIRED' | 'LABEL_REPEATED';
  type: string;
  typeName?: string;
  /** `.google.cloud.bigquery.storage.v1.columnName`: the column's name when it is no name for protocol buffers. */
  options?: Record<string, string>;
}

export const descriptorOf = (columns: readonly Column[]): DescriptorProto => messageOf('Row', columns);

const LABELS = { NULLABLE: 'LABEL_OPTIONAL', REQUIRED: 'LABEL_REQUIRED', REPEATED: 'LABEL_REPEATED' } as const;

/** A column's field number is its place, from 1. */
function messageOf(name: string, columns: readonly Column[]): DescriptorProto {
  const nestedType: DescriptorProto[] = [];
  const field = columns.map((column, index): FieldDescriptor => {
    const number = index + 1;
    const label = column.hasDefault && column.mode === 'REQUIRED' ? 'LABEL_OPTIONAL' : LABELS[column.mode];
    const isPlain = /^[A-Za-z_][A-Za-z0-9_]*$/.test(column.name);
    const described: FieldDescriptor = {
      name: isPlain ? column.name : `column_${number}_`,
      number,
      label,
      type: protoTypeOf(column),
    };
    if (!isPlain) described.options = { '.google.cloud.bigquery.storage.v1.columnName': column.name };
    if (column.type === 'STRUCT') {
      // Message and field names share a scope: a column of this name would be a strange one.
      described.typeName = `Struct_${number}_`;
      nestedType.push(messageOf(described.typeName, column.fields));
    }
    return described;
  });
  return { name, field, nestedType };
}

function protoTypeOf({ type, secondDigits }: Column): string {
  switch (type) {
    case 'INT64':
      return 'TYPE_INT64';
    case 'FLOAT64':
      return 'TYPE_DOUBLE';
    case 'BOOL':
      return 'TYPE_BOOL';
    case 'BYTES':
      return 'TYPE_BYTES';
    case 'DATE':
      return 'TYPE_INT32';
    case 'TIMESTAMP':
      return secondDigits === 12 ? 'TYPE_STRING' : 'TYPE_INT64';
    case 'STRUCT':
      return 'TYPE_MESSAGE';
    case 'STRING':
    case 'NUMERIC':
    case 'BIGNUMERIC':
    case 'DATETIME':
    case 'TIME':
    case 'GEOGRAPHY':
    case 'JSON':
    case 'INTERVAL':
      return 'TYPE_STRING';
  }
}
