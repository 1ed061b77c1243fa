/*
 * AclOperation codes as bits (KIP-430). There is no authorizer yet: everybody may do all that Kafka knows for the
 * kind of resource.
 */
const OPERATIONS = {
  topic: [3, 4, 5, 6, 7, 8, 10, 11],
  group: [3, 6, 8, 9],
  cluster: [5, 7, 8, 9, 10, 11, 12],
} as const;

export function allowedOperations(resource: keyof typeof OPERATIONS): number {
  let bits = 0;
  for (const code of OPERATIONS[resource]) bits |= 1 << code;
  return bits;
}
