/** What a schema finds wrong with a value, in words for who wrote it. */
import { z } from 'zod';
import { nearest } from './nearest.ts';

type Issue = z.core.$ZodIssue;

export const lower = (text: string) => text.charAt(0).toLowerCase() + text.slice(1);

/** The first of it, with where in the value, such as `score is "high"; expected a number`; what another error says, as it is. */
export function faultOf(error: unknown, value: unknown): string {
  if (!(error instanceof z.core.$ZodError)) return error instanceof Error ? error.message : String(error);
  let [issue] = error.issues as [Issue];
  while (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const [inner] = bestUnionBranch(issue, value) as [Issue];
    issue = { ...inner, path: [...issue.path, ...inner.path] };
  }
  return `${issue.path.map(String).join('.') || 'it'} ${describeIssue(issue, getAt(value, issue.path))}`;
}

/** Whether what a schema refuses of a value is a string with nothing in it. */
export function isBlankIn(error: unknown, value: unknown): boolean {
  if (!(error instanceof z.core.$ZodError)) return false;
  const refused = getAt(value, error.issues[0]!.path);
  return typeof refused === 'string' && refused.trim() === '';
}

/** The issues of the alternative that the value comes nearest to. */
export function bestUnionBranch({ errors, path }: z.core.$ZodIssueInvalidUnion, value: unknown): readonly Issue[] {
  const own = getAt(value, path);
  const [best] = errors.toSorted((a, b) => mismatchRank(a, own) - mismatchRank(b, own) || a.length - b.length);
  return best!;
}
/** 2: it is for values of another type; 1: for other keys. */
const mismatchRank = (issues: readonly Issue[], value: unknown): number =>
  Math.max(
    ...issues.map((issue) => {
      if (issue.path.length > 0) return 0;
      if (issue.code === 'invalid_type') return 2;
      if (issue.code === 'invalid_value') return issue.values.every((valid) => typeof valid !== typeof value) ? 2 : 0;
      return issue.code === 'unrecognized_keys' ? 1 : 0;
    }),
  );

/** What lies at a path of a value. */
export const getAt = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown> | null | undefined)?.[key], value);

/** What is wrong with a value: the rest of a sentence that begins with its name. */
export function describeIssue(issue: Issue, value: unknown): string {
  if (issue.code === 'invalid_type') {
    const wanted = kinds[issue.expected] ?? issue.expected;
    return value === undefined ? `is missing; expected ${wanted}` : `is ${kindOf(value)}; expected ${wanted}`;
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

/** A value, or what kind of thing it is. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value);
  return typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? typeof value);
}
