/** Parses an experiment file, applies `--set`, and locates problems in it. */
import { isMap, isNode, isPair, isScalar, isSeq, LineCounter, parse, parseDocument, visit, type Document, type Node } from 'yaml';
import { z } from 'zod';
import { BackspinError } from './errors.ts';
import { resolveAliases, sayElsewhere } from './aliases.ts';
import { kindOf, lower, bestUnionBranch, getAt, describeIssue } from './faults.ts';
import { keysAt, suggest, type JsonSchema } from './nearest.ts';

type Path = readonly PropertyKey[];

/** The remedy for an error of the YAML parser, by its code. */
const remedies: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'indent with blanks',
  BAD_INDENT: 'put what belongs together at one column',
  BLOCK_AS_IMPLICIT_KEY: 'put what belongs together at one column, and a text with ": " in it in quotes',
  MULTILINE_IMPLICIT_KEY: 'put a colon and a blank behind the key',
  DUPLICATE_KEY: 'keep one of the two',
  MULTIPLE_DOCS: 'keep one of them, without `---`',
  BAD_SCALAR_START: 'put the text in quotes',
  TAG_RESOLVE_FAILED: 'leave the tag out',
};

export class Source {
  readonly #label: string;
  readonly #document: Document;
  readonly #lines = new LineCounter();
  /** Values that a `--set` has written or created -> that `--set`. */
  readonly #sets = new Map<string, string>();
  /** Settings that the file has under another name, by path -> path in the file. */
  readonly #aliases = new Map<string, string>();
  readonly #problems: { readonly offset: number; readonly text: string }[] = [];

  /** `label` names the file in messages. Throws if the text is not YAML, or if a `--set` is not `path=value`. */
  constructor(label: string, text: string, sets: readonly string[] = []) {
    this.#label = label;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    const [error] = [...this.#document.errors, ...this.#document.warnings]; // the others usually follow from the first
    if (error) this.#report(error.pos[0], '', `${lower(error.message.split(';')[0]!)}: ${remedies[error.code] ?? 'mend it'}`);
    visit(this.#document, {
      Alias: (_, alias) => {
        if (!alias.resolve(this.#document)) this.#report(alias.range![0], '', `there is no &${alias.source} before *${alias.source}`);
      },
    });
    this.throwIfAny();
    for (const set of sets) this.#set(set);
  }

  /** Throws if aliases refer to each other endlessly. */
  get value(): unknown {
    try {
      return this.#document.toJS() ?? {};
    } catch (error) {
      throw new BackspinError('ConfigError', `${this.#label} cannot be read: ${lower((error as Error).message)}`, { cause: error });
    }
  }

  /** Reads the settings below `at` by our names, where the file has them under those of TRL, PEFT or vLLM. */
  resolveAliases(schema: z.ZodType, at: Path): void {
    const { renamed, doubled } = resolveAliases(this.#document, jsonSchemaOf(schema), at);
    for (const { path, found, written } of doubled) {
      this.#report(
        this.#offset(found, 'key'),
        written.map(String).join('.'),
        `sets ${String(path[found.length - 1])}, which stands beside it: keep one`,
      );
      this.#document.deleteIn(found);
    }
    for (const { path, written } of renamed) this.#aliases.set(path.join('.'), written.join('.'));
  }

  /** Adds a problem at a path: at its key (`on: 'key'`), at its value, or at the nearest existing parent. */
  problem(path: Path, sentence: string, on: 'key' | 'value' = 'value'): void {
    this.#report(this.#offset(path, on), path.map(String).join('.'), sentence);
  }

  /** Checks the part of the file at `at` and returns the parsed value; undefined after adding its problems. */
  check<T>(schema: { parse(value: unknown): T }, value: unknown, at: Path = []): T | undefined {
    try {
      return schema.parse(value);
    } catch (error) {
      if (!(error instanceof z.core.$ZodError)) {
        this.problem(at, lower(error instanceof Error ? error.message : String(error)));
        return undefined;
      }
      const json = schema instanceof z.core.$ZodType ? jsonSchemaOf(schema) : {};
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
    const path = (key ?? '').split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part));
    const refuse = (sentence: string) => new BackspinError('ConfigError', `--set ${set}: ${sentence}`);
    if (text === undefined || path.includes('')) throw refuse('a path and a value are needed, such as --set parameters.rounds=3');

    const made = path.findIndex((_, i) => !this.#document.hasIn(path.slice(0, i + 1)));
    const holder = path.slice(0, Math.max(made, 0));
    const held = holder.length === 0 ? undefined : this.#document.getIn(holder, true);
    if (isScalar(held) && held.value === null) this.#document.setIn(holder, this.#document.createNode({}));
    else if (isScalar(held)) throw refuse(`${holder.join('.')} is ${kindOf(held.value)} and has no keys`);
    if (isSeq(held) && path[made] !== held.items.length)
      throw refuse(`${holder.join('.')} is a list of ${held.items.length}: ${[...holder, held.items.length].join('.')} would be its next`);
    let value: unknown;
    try {
      value = parse(text, { prettyErrors: false });
    } catch (error) {
      throw refuse(`its value is not YAML (${lower((error as Error).message)}): put it in quotes, or mend it`);
    }
    this.#document.setIn(path, this.#document.createNode(value));
    this.#sets.set(path.slice(0, made < 0 ? path.length : made + 1).join('.'), set);
  }

  #issue(issue: z.core.$ZodIssue, json: JsonSchema, value: unknown, at: Path): void {
    const path = [...at, ...issue.path];
    if (issue.code === 'invalid_union' && issue.errors.length > 0) {
      for (const inner of bestUnionBranch(issue, value)) this.#issue({ ...inner, path: [...issue.path, ...inner.path] }, json, value, at);
      return;
    }
    if (issue.code === 'unrecognized_keys') {
      const valid = keysAt(json, issue.path);
      for (const key of issue.keys) {
        const sentence = valid.includes(key)
          ? 'it does not go with the other keys that stand beside it'
          : `unknown key${sayElsewhere(key, valid)?.replace(/^/, ': ') ?? suggest(key, valid)}`;
        this.problem([...path, key], sentence, 'key');
      }
      return;
    }
    if (issue.code === 'invalid_key')
      return this.problem(path, `the key does not fit: ${issue.issues.map(({ message }) => lower(message)).join(', ')}`, 'key');
    this.problem(path, describeIssue(issue, getAt(value, issue.path)));
  }

  #report(offset: number, ofSchema: string, sentence: string): void {
    const path = this.#asWritten(ofSchema);
    const sets = [...this.#sets].filter(([key]) => path === key || path.startsWith(`${key}.`));
    const [nearest] = sets.toSorted(([a], [b]) => b.length - a.length);
    const { line, col } = this.#lines.linePos(offset);
    const place = nearest ? `--set ${nearest[1]}` : `${this.#label}:${line}:${col}`;
    this.#problems.push({ offset, text: `${place}${path && ` ${path}`}: ${sentence}` });
  }

  #asWritten(path: string): string {
    for (const [ours, written] of this.#aliases) if (path === ours || path.startsWith(`${ours}.`)) return written + path.slice(ours.length);
    return path;
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

const jsonSchemaOf = (schema: z.core.$ZodType) => z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
