/** An experiment file as text: parsed, changed by `--set`, and able to say where in it a problem is. */
import { isMap, isNode, isPair, isScalar, LineCounter, parse, parseDocument, type Document, type Node } from 'yaml';
import { z } from 'zod';
import { BackspinError } from '../schemas/errors.ts';
import { keysAt, suggest } from './nearest.ts';

type Path = readonly PropertyKey[];

export class Source {
  readonly #label: string;
  readonly #document: Document;
  readonly #lines = new LineCounter();
  readonly #sets = new Map<string, string>();
  readonly #problems: { readonly offset: number; readonly text: string }[] = [];

  /** `label` is how messages name the file. Throws when it is not YAML, or a `--set` is not `path=value`. */
  constructor(label: string, text: string, sets: readonly string[] = []) {
    this.#label = label;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    const [error] = this.#document.errors; // the others mostly follow from it
    if (error) this.#report(error.pos[0], '', lower(error.message));
    this.throwIfAny();
    for (const set of sets) this.#set(set);
  }

  get value(): unknown {
    return this.#document.toJS() ?? {};
  }

  /** Notes a problem at a path: at its key (`on: 'key'`), or at its value, or at what would hold it. */
  problem(path: Path, sentence: string, on: 'key' | 'value' = 'value'): void {
    this.#report(this.#offset(path, on), path.map(String).join('.'), sentence);
  }

  /** Checks a value (a part of the file, at `at`) and gives what the schema makes of it; undefined after noting its problems. */
  check<T>(schema: { parse(value: unknown): T }, value: unknown, at: Path = []): T | undefined {
    try {
      return schema.parse(value);
    } catch (error) {
      if (!(error instanceof z.core.$ZodError)) {
        this.problem(at, lower(error instanceof Error ? error.message : String(error)));
        return undefined;
      }
      const json = schema instanceof z.core.$ZodType ? z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) : {};
      for (const issue of error.issues) this.#issue(issue, json, value, at);
      return undefined;
    }
  }

  throwIfAny(): void {
    if (this.#problems.length === 0) return;
    const lines = this.#problems.toSorted((a, b) => a.offset - b.offset).map(({ text }) => text);
    throw new BackspinError('ConfigError', [...new Set(lines)].join('\n'));
  }

  #set(set: string): void {
    const [, key, text] = /^([^=]+)=(.*)$/s.exec(set) ?? [];
    if (key === undefined || text === undefined)
      throw new BackspinError('ConfigError', `--set ${set}: a path and a value are needed, such as --set parameters.rounds=3`);
    const path = key.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part));
    try {
      this.#document.setIn(path, this.#document.createNode(parse(text) as unknown));
    } catch (error) {
      throw new BackspinError('ConfigError', `--set ${set}: ${key} cannot be set (${lower((error as Error).message)})`);
    }
    this.#sets.set(key, set);
  }

  #issue(issue: z.core.$ZodIssue, json: object, value: unknown, at: Path): void {
    const path = [...at, ...issue.path];
    if (issue.code === 'invalid_union' && issue.errors.length > 0) {
      const best = issue.errors.toSorted((a, b) => a.length - b.length)[0]!;
      for (const inner of best) this.#issue({ ...inner, path: [...issue.path, ...inner.path] }, json, value, at);
      return;
    }
    if (issue.code === 'unrecognized_keys') {
      const valid = keysAt(json, issue.path);
      for (const key of issue.keys) {
        const sentence = valid.includes(key)
          ? 'it does not go with the other keys that stand beside it'
          : `unknown key${suggest(key, valid)}`;
        this.problem([...path, key], sentence, 'key');
      }
      return;
    }
    if (issue.code === 'invalid_key')
      return this.problem(path, `the key does not fit: ${issue.issues.map(({ message }) => lower(message)).join(', ')}`, 'key');
    this.problem(
      path,
      wrong(
        issue,
        issue.path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key], value),
      ),
    );
  }

  #report(offset: number, path: string, sentence: string): void {
    const set = [...this.#sets].find(([key]) => path === key || path.startsWith(`${key}.`))?.[1];
    const { line, col } = this.#lines.linePos(offset);
    const place = set === undefined ? `${this.#label}:${line}:${col}` : `--set ${set}`;
    this.#problems.push({ offset, text: `${place}${path && ` ${path}`}: ${sentence}` });
  }

  #offset(path: Path, on: 'key' | 'value'): number {
    for (let length = path.length; length > 0; length--) {
      const parent = length === 1 ? this.#document.contents : this.#document.getIn(path.slice(0, length - 1), true);
      const pair = isMap(parent) ? parent.items.find(({ key }) => (isScalar(key) ? key.value : key) === path[length - 1]) : undefined;
      const own = isPair(pair) && length === path.length && on === 'value' && isScalar(pair.value) ? pair.value : pair?.key;
      const node = own ?? this.#document.getIn(path.slice(0, length), true);
      if (isNode(node) && (node as Node).range) return (node as Node).range![0];
    }
    return 0;
  }
}

const lower = (text: string) => text.charAt(0).toLowerCase() + text.slice(1);
const kindOf = (value: unknown) =>
  value === null ? 'nothing' : Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'a map' : JSON.stringify(value);
const kinds: Record<string, string> = {
  record: 'a map',
  object: 'a map',
  array: 'a list',
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

function wrong(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === 'invalid_type') {
    const wanted = kinds[issue.expected] ?? issue.expected;
    return value === undefined ? `is missing; ${wanted} is needed` : `is ${kindOf(value)}; ${wanted} is needed`;
  }
  if (issue.code === 'invalid_value') {
    const valid = issue.values.map(String);
    return value === undefined
      ? `is missing; one of ${valid.join(', ')} is needed`
      : `is ${kindOf(value)}, which is none of ${valid.join(', ')}${typeof value === 'string' ? suggest(value, valid) : ''}`;
  }
  return `is ${kindOf(value)}, which does not fit: ${lower(issue.message)}`;
}
