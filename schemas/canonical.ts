/** Canonical JSON, and the digests computed from it. */
import { hash } from 'node:crypto';
import { BackspinError } from './errors.ts';

/**
 * JSON with sorted keys and well-formed text (a lone surrogate becomes U+FFFD). Leaves out undefined properties. Throws `SchemaError` with
 * the location for values that JSON cannot hold: NaN, infinities, undefined in a list, functions, bigints, and objects that are not plain,
 * such as a Date or a Map.
 */
export function canonicalJson(value: unknown): string {
  try {
    return textOf(value);
  } catch (error) {
    const what =
      error instanceof NotJson ? error.sentence : error instanceof RangeError ? 'What is nested so deep, or holds itself,' : undefined;
    if (what === undefined) throw error;
    throw new BackspinError(
      'SchemaError',
      `${what} cannot be stored as JSON: give a finite number, a text (of a date its ISO form), a boolean, null, a list or a plain object of such, or leave it out.`,
      { cause: error },
    );
  }
}

function textOf(value: unknown): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return JSON.stringify(value.toWellFormed());
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value)) {
    const items: string[] = [];
    for (let index = 0; index < value.length; index++) items.push(withLocation(index, value[index])); // `map` would skip holes
    return `[${items.join()}]`;
  }
  if (typeof value !== 'object' || !isPlain(value)) throw new NotJson(nameOf(value));
  const properties: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const inner = (value as Record<string, unknown>)[key];
    if (inner !== undefined) properties.push(`${JSON.stringify(key.toWellFormed())}:${withLocation(key, inner)}`);
  }
  return `{${properties.join()}}`;
}

function withLocation(key: string | number, value: unknown): string {
  try {
    return textOf(value);
  } catch (error) {
    if (error instanceof NotJson) error.path.unshift(key);
    throw error;
  }
}

class NotJson extends Error {
  readonly path: (string | number)[] = [];
  readonly #what: string;

  constructor(what: string) {
    super();
    this.#what = what;
  }
  get sentence(): string {
    return this.path.length === 0 ? this.#what : `${this.#what} at ${this.path.join('.')}`;
  }
}

/** Whether an object is plain, of any realm. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
const nameOf = (value: unknown): string =>
  typeof value === 'object'
    ? `A ${value!.constructor.name}`
    : typeof value === 'number' || value === undefined
      ? String(value)
      : `A ${typeof value}`;

export const sha256 = (data: string | Uint8Array): string => hash('sha256', data);

/** The id of a record: 32 hex digits of the sha256 of its value, the ids of its parents, and its ordinal among equal records. */
export const recordId = (value: unknown, from: readonly string[], ordinal = 0): string =>
  sha256(`[${canonicalJson(value)},${canonicalJson(from)},${ordinal}]`).slice(0, 32);
