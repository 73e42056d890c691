/** Suggests corrections: the nearest valid word, and the valid keys of a schema. */
import { distance } from 'fastest-levenshtein';

/** The valid word with the fewest edits, unless that replaces most of it. The first one wins a tie. */
export function nearest(word: string, valid: readonly string[]): string | undefined {
  const [best] = valid.toSorted((a, b) => distance(word, a) - distance(word, b));
  return best !== undefined && distance(word.toLowerCase(), best.toLowerCase()) <= Math.max(2, Math.floor(best.length / 2))
    ? best
    : undefined;
}

/** `; the nearest is "threshold"`, or all choices if none is near. */
export function suggest(word: string, valid: readonly string[]): string {
  const near = nearest(word, valid);
  if (near !== undefined) return `; the nearest is "${near}"`;
  return valid.length === 0 ? '; nothing is allowed here' : `; there is ${valid.toSorted().join(', ')}`;
}

export interface JsonSchema {
  readonly properties?: { readonly [key: string]: JsonSchema };
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
}
/** The keys that a JSON Schema allows at a path, in any of its alternatives. */
export function keysAt(schema: JsonSchema, path: readonly PropertyKey[]): string[] {
  const alternatives = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  const inside = alternatives.flatMap((alternative) => keysAt(alternative, path));
  const [head, ...rest] = path;
  if (head === undefined) return [...Object.keys(schema.properties ?? {}), ...inside];
  const other = typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined;
  const next = schema.properties?.[String(head)] ?? schema.items ?? other;
  return next ? [...keysAt(next, rest), ...inside] : inside;
}
