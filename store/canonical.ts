/** One text for equal values, and the digests made of it. */
import { hash } from 'node:crypto';
import { BackspinError } from '../schemas/errors.ts';

/** JSON with sorted keys and well-formed text (a lone surrogate becomes U+FFFD); undefined properties are left out. Throws `SchemaError` for
 *  what JSON cannot hold: NaN, infinities, functions, bigints. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return JSON.stringify(value.toWellFormed());
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join()}]`;
  if (typeof value !== 'object')
    throw new BackspinError(
      'SchemaError',
      `${typeof value === 'number' ? value : `A ${typeof value}`} cannot be stored as JSON: give a finite number, a text, null, or leave it out.`,
    );
  const properties: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const inner = (value as Record<string, unknown>)[key];
    if (inner !== undefined) properties.push(`${canonicalJson(key)}:${canonicalJson(inner)}`);
  }
  return `{${properties.join()}}`;
}

export const sha256 = (data: string | Uint8Array): string => hash('sha256', data);

/** The id of a record: 32 hex of the sha256 of its value, the ids it was made from, and which of several equal ones it is. */
export const recordId = (value: unknown, from: readonly string[], ordinal = 0): string =>
  sha256(canonicalJson([value, from, ordinal])).slice(0, 32);
