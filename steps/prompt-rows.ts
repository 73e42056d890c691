/** Rows of a table in a prompt file: `{% rows examples = 'shots.jsonl' %}` stands for `{% set examples = [...] %}`. */
import { dirname, resolve } from 'node:path';
import { BackspinError } from '../schemas/errors.ts';
import { entriesOf } from '../sources/tables.ts';

/** Rows of one table; all of them are in each request's template. */
const MAX_ROWS = 1000;
const ROWS = /\{%-?\s*rows\s+([A-Za-z_]\w*)\s*=\s*(['"])(.+?)\2\s*-?%\}/g;

/** The text of the prompt file at `path` with its rows in it, so that they are part of its content. Throws `ConfigError` for a table that
 *  cannot be read. */
export async function withRows(text: string, path: string): Promise<string> {
  const parts: string[] = [];
  let at = 0;
  for (const { 0: tag, 1: name, 3: table, index } of text.matchAll(ROWS)) {
    const rows = await rowsIn(resolve(dirname(path), table!), path);
    parts.push(text.slice(at, index), `{%- set ${name} = ${literal(rows)} %}`);
    at = index + tag.length;
  }
  return parts.join('') + text.slice(at);
}

async function rowsIn(table: string, prompt: string): Promise<object[]> {
  const refuse = (fault: string, cause?: unknown) =>
    new BackspinError('ConfigError', `${table}, whose rows the prompt file ${prompt} names, ${fault}.`, { cause });
  const rows: object[] = [];
  try {
    for await (const entry of entriesOf(table)) {
      if ('fault' in entry) throw refuse(`${entry.fault}${entry.number === undefined ? '' : ` (row ${entry.number})`}: ${entry.remedy}`);
      rows.push(entry.value);
      if (rows.length > MAX_ROWS) throw refuse(`has more than ${MAX_ROWS} rows: give a smaller table`);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === undefined ? error : refuse(`cannot be read (${code}): check its path`, error);
  }
  if (rows.length === 0) throw refuse('has no rows');
  return rows;
}

/** A JSON value in the syntax of Jinja. Nothing in it looks like the beginning or the end of a tag: texts are cut between two such
 *  characters, and braces stand apart. */
function literal(value: unknown): string {
  if (value === null || value === undefined) return 'none';
  if (typeof value === 'string') return JSON.stringify(value).replaceAll(/[{%#}](?=[{%#}])/g, '$&" ~ "');
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value !== 'object') return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, inner]) => `${literal(key)}: ${literal(inner)}`);
  return `{ ${entries.join(', ')} }`;
}
