/** One text for equal values, and the digests made of it. */
import { hash } from 'node:crypto';
import { BackspinError } from './errors.ts';

/** JSON with sorted keys and well-formed text (a lone surrogate becomes U+FFFD); undefined properties are left out. Throws `SchemaError`,
 *  which says where, for what JSON does not hold: NaN, infinities, undefined in a list, functions, bigints, and objects that are no plain
 *  ones, such as a Date or a Map. */
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
    for (let index = 0; index < value.length; index++) items.push(within(index, value[index])); // `map` would pass over holes
    return `[${items.join()}]`;
  }
  if (typeof value !== 'object' || !isPlain(value)) throw new NotJson(nameOf(value));
  const properties: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const inner = (value as Record<string, unknown>)[key];
    if (inner !== undefined) properties.push(`${JSON.stringify(key.toWellFormed())}:${within(key, inner)}`);
  }
  return `{${properties.join()}}`;
}

function within(key: string | number, value: unknown): string {
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

/** Of whatever realm. */
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

/** The id of a record: 32 hex of the sha256 of its value, the ids it was made from, and which of several equal ones it is. */
export const recordId = (value: unknown, from: readonly string[], ordinal = 0): string =>
  sha256(`[${canonicalJson(value)},${canonicalJson(from)},${ordinal}]`).slice(0, 32);
