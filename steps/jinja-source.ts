/** Reads a Jinja file of turns: its tags with their lines, and a template that marks where each turn begins and ends. */
import { Template } from '@huggingface/jinja';

export const ROLES = ['system', 'user', 'assistant', 'text'] as const;
export type Role = (typeof ROLES)[number];

/** A fault of a prompt file, and its line from 1. */
export class JinjaError extends Error {
  readonly line: number;
  constructor(line: number, message: string) {
    super(message);
    this.name = 'JinjaError';
    this.line = line;
  }
}

interface Tag {
  readonly start: number;
  readonly end: number;
  readonly line: number;
  /** The first word of a statement. */
  readonly statement: string | undefined;
  /** It prints a value. */
  readonly prints: boolean;
}
interface Open {
  readonly statement: string;
  readonly line: number;
}

/** Statements that an `end...` closes. `set` is one if it has no `=`. */
const BLOCKS = new Set<string>(['if', 'for', 'macro', 'call', 'filter', 'set', ...ROLES]);
/** What stands inside these is printed elsewhere. */
const DEFINITIONS = new Set(['macro', 'set']);
const isRole = (word: string): boolean => (ROLES as readonly string[]).includes(word);

/** The variable that turns are marked with. */
export const TURN = 'backspin_turn';

export class JinjaSource {
  readonly template: Template;
  readonly #text: string;
  readonly #tags: readonly Tag[];

  /** Throws a `JinjaError` for a text that is no Jinja, and for turns that are not complete. */
  constructor(text: string) {
    this.#text = text;
    this.#tags = tagsIn(text);
    checkBlocks(text, this.#tags);
    this.template = this.located((source) => new Template(source));
  }

  /** What `attempt` returns for the whole file. If it throws, so does this, with the line of the first tag up to which the file makes it
   *  throw. */
  located<T>(attempt: (source: string) => T): T {
    try {
      return attempt(marked(this.#text, this.#tags, this.#tags.length));
    } catch (error) {
      const first = this.#tags.findIndex((_, at) => {
        try {
          attempt(marked(this.#text, this.#tags, at + 1));
          return false;
        } catch {
          return true;
        }
      });
      throw new JinjaError(this.#tags[Math.max(first, 0)]!.line, (error as Error).message.replace(/^Parser Error: /, ''));
    }
  }
}

function tagsIn(text: string): Tag[] {
  const tags: Tag[] = [];
  const opening = /\{[%{#]/g;
  for (let found = opening.exec(text); found; found = opening.exec(text)) {
    const start = found.index;
    const line = lineAt(text, start);
    const end = endOf(text, start, found[0]);
    if (end === undefined) throw new JinjaError(line, `${found[0]} is never closed`);
    const inner = text.slice(start, end);
    const statement = /^\{%[-+]?\s*(\w+)/.exec(inner)?.[1];
    const assigns = statement === 'set' && inner.replaceAll(/'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"/gs, '').includes('=');
    tags.push({ start, end, line, statement: assigns ? undefined : statement, prints: found[0] === '{{' });
    opening.lastIndex = end;
  }
  return tags;
}

/** Where a tag ends; undefined: it does not. Quotes and braces inside it hide its end. */
function endOf(text: string, start: number, opening: string): number | undefined {
  if (opening === '{#') {
    const at = text.indexOf('#}', start + 2);
    return at < 0 ? undefined : at + 2;
  }
  const closing = opening === '{%' ? '%}' : '}}';
  let [quote, depth] = ['', 0];
  for (let at = start + 2; at < text.length; at++) {
    const char = text[at]!;
    if (quote !== '') {
      if (char === '\\') at++;
      else if (char === quote) quote = '';
    } else if (depth === 0 && text.startsWith(closing, at)) return at + 2;
    else if (char === '"' || char === "'") quote = char;
    else if (char === '{') depth++;
    else if (char === '}') depth--;
  }
  return undefined;
}

const lineAt = (text: string, at: number): number => text.slice(0, at).split('\n').length;

/** The blocks that are open after the first tags, innermost last. Throws for one that closes another. */
function openAfter(tags: readonly Tag[]): Open[] {
  const open: Open[] = [];
  for (const { statement, line } of tags) {
    if (statement === undefined) continue;
    if (BLOCKS.has(statement)) {
      const outer = isRole(statement) && open.find((one) => isRole(one.statement));
      if (outer) throw new JinjaError(line, `{% ${statement} %} begins inside the {% ${outer.statement} %} of line ${outer.line}`);
      open.push({ statement, line });
    } else if (statement.startsWith('end') && BLOCKS.has(statement.slice(3))) {
      const last = open.pop();
      if (last?.statement !== statement.slice(3))
        throw new JinjaError(
          line,
          `{% ${statement} %} closes nothing${last ? `: the {% ${last.statement} %} of line ${last.line} is open` : ''}`,
        );
    }
  }
  return open;
}

function checkBlocks(text: string, tags: readonly Tag[]): void {
  const open = openAfter(tags).at(-1);
  if (open) throw new JinjaError(open.line, `{% ${open.statement} %} has no {% end${open.statement} %}`);
  const outside = tags.find((tag, at) => tag.prints && isOutside(openAfter(tags.slice(0, at))));
  const places = [{ end: 0 }, ...tags].map(({ end }, at) => ({ from: end, to: tags[at]?.start ?? text.length, at }));
  const stray = places.find(({ from, to, at }) => text.slice(from, to).trim() !== '' && isOutside(openAfter(tags.slice(0, at))));
  const strayLine = stray && lineAt(text, stray.from + text.slice(stray.from, stray.to).search(/\S/));
  const line = Math.min(outside?.line ?? Infinity, strayLine ?? Infinity);
  if (!tags.some(({ statement }) => statement === 'user' || statement === 'text'))
    throw new JinjaError(1, 'it has no {% user %} ... {% enduser %}, which holds what the model is asked');
  if (Number.isFinite(line))
    throw new JinjaError(line, `this stands outside of all turns: put it into {% user %} or another of ${ROLES.join(', ')}`);
}
const isOutside = (open: readonly Open[]): boolean => !open.some(({ statement }) => isRole(statement) || DEFINITIONS.has(statement));

/** The file up to the tag with the number `count`, its open blocks closed. Tags of turns print their marks, and take the white space of the
 *  file beside them. */
function marked(text: string, tags: readonly Tag[], count: number): string {
  let [source, at] = ['', 0];
  for (const { start, end, statement } of tags.slice(0, count)) {
    source += text.slice(at, start) + (turnMark(statement) ?? text.slice(start, end));
    at = end;
  }
  if (count === tags.length) return source + text.slice(at);
  const open = openAfter(tags.slice(0, count)).filter(({ statement }) => !isRole(statement));
  return (
    source +
    open
      .toReversed()
      .map(({ statement }) => `{% end${statement} %}`)
      .join('')
  );
}

function turnMark(statement: string | undefined): string | undefined {
  if (statement === undefined) return undefined;
  if (isRole(statement)) return `{{ ${TURN}.${statement} -}}`;
  return statement.startsWith('end') && isRole(statement.slice(3)) ? `{{- ${TURN}.end }}` : undefined;
}
