/** Describes the error of a schema as a sentence for the user who wrote the value. */
import { z } from 'zod';
import { nearest } from './nearest.ts';

type Issue = z.core.$ZodIssue;

export const lower = (text: string) => text.charAt(0).toLowerCase() + text.slice(1);

/** The first issue with its location, such as `score is "high"; expected a number`. For other errors their message. */
export function faultOf(error: unknown, value: unknown): string {
  if (!(error instanceof z.core.$ZodError)) return error instanceof Error ? error.message : String(error);
  let [issue] = error.issues as [Issue];
  while (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const [inner] = bestUnionBranch(issue, value) as [Issue];
    issue = { ...inner, path: [...issue.path, ...inner.path] };
  }
  return `${issue.path.map(String).join('.') || 'it'} ${describeIssue(issue, getAt(value, issue.path))}`;
}

/** Whether a schema refuses a value because of an empty string. */
export function isBlankIn(error: unknown, value: unknown): boolean {
  if (!(error instanceof z.core.$ZodError)) return false;
  const refused = getAt(value, error.issues[0]!.path);
  return typeof refused === 'string' && refused.trim() === '';
}

/** The issues of the union branch that fits the value best. */
export function bestUnionBranch({ errors, path }: z.core.$ZodIssueInvalidUnion, value: unknown): readonly Issue[] {
  const actual = getAt(value, path);
  const [best] = errors.toSorted((a, b) => mismatchRank(a, actual) - mismatchRank(b, actual) || a.length - b.length);
  return best!;
}
/** 2: the branch expects another type; 1: other keys. */
const mismatchRank = (issues: readonly Issue[], value: unknown): number =>
  Math.max(
    ...issues.map((issue) => {
      if (issue.path.length > 0) return 0;
      if (issue.code === 'invalid_type') return 2;
      if (issue.code === 'invalid_value') return issue.values.every((valid) => typeof valid !== typeof value) ? 2 : 0;
      return issue.code === 'unrecognized_keys' ? 1 : 0;
    }),
  );

/** Returns the value at a path. */
export const getAt = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown> | null | undefined)?.[key], value);

/** Describes what is wrong with a value: the end of a sentence that starts with its name. */
export function describeIssue(issue: Issue, value: unknown): string {
  if (issue.code === 'invalid_type') {
    const expected = kinds[issue.expected] ?? issue.expected;
    return value === undefined ? `is missing; expected ${expected}` : `is ${kindOf(value)}; expected ${expected}`;
  }
  if (issue.code === 'invalid_value' || (issue.code === 'invalid_union' && 'options' in issue)) {
    const options = issue.code === 'invalid_value' ? issue.values : (issue.options ?? []);
    const valid = options.filter((option) => option !== undefined).map(String);
    if (value === undefined) return `is missing; one of ${valid.join(', ')} is needed`;
    const near = typeof value === 'string' ? nearest(value, valid) : undefined;
    return `is ${kindOf(value)}, which is none of ${valid.join(', ')}${near === undefined ? '' : `; the nearest is "${near}"`}`;
  }
  if (issue.code === 'too_small')
    return `is ${kindOf(value)}; ${issue.inclusive ? 'at least' : 'more than'} ${count(issue.minimum, issue.origin)} needed`;
  if (issue.code === 'too_big')
    return `is ${kindOf(value)}; ${issue.inclusive ? 'at most' : 'less than'} ${count(issue.maximum, issue.origin)} needed`;
  return `is ${kindOf(value)}, which does not fit: ${lower(issue.message)}`;
}
const count = (limit: number | bigint, of: string) =>
  of === 'array' ? `${limit} entries are` : of === 'string' ? `${limit} characters are` : `${limit} is`;

const kinds: Readonly<Record<string, string>> = {
  record: 'an object',
  object: 'an object',
  array: 'a list',
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

/** A short value itself, or else its type. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value);
  return typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? typeof value);
}
