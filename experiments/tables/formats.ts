/** The forms in which records are exported, as queries over a table. */
import { BackspinError } from '../../schemas/errors.ts';
import { name, type Database } from './duckdb.ts';

/** `jsonl` and `parquet` have the records' own fields; the others are what training libraries read. */
export const formats = ['jsonl', 'parquet', 'trl-sft', 'trl-dpo', 'sharegpt', 'alpaca'] as const;
export type Format = (typeof formats)[number];

interface Column {
  readonly name: string;
  readonly type: string;
}

/** Fields that hold what is asked and what is answered, the likeliest first. */
const ASKED = ['instruction', 'prompt', 'question'];
const ANSWERED = ['response', 'answer', 'output', 'completion', 'reply', 'text'];

/** A query for the exported rows. Throws `ConfigError` if the records lack the fields that the format needs. */
export async function exportQuery(database: Database, query: string, format: Format, from: string): Promise<string> {
  const columns = await columnsOf(database, query);
  const made = queryIn(format, query, columns);
  if ('select' in made) return made.select;
  const others = formats.filter((other) => 'select' in queryIn(other, query, columns));
  throw new BackspinError(
    'ConfigError',
    `The records of ${from} have no ${made.lacks}, which ${format} needs; they have ${columns.map((one) => one.name).join(', ')}. ` +
      `Export them as ${others.slice(0, -1).join(', ')} or ${others.at(-1)}, or give the fields other names with \`backspin sql\`, --format and --to.`,
  );
}

/** `lacks`: what the format needs and the records do not have. */
type Made = { readonly select: string } | { readonly lacks: string };

function queryIn(format: Format, query: string, columns: readonly Column[]): Made {
  if (format === 'jsonl' || format === 'parquet') {
    const own = columns.filter((one) => one.name !== 'from').map(exported);
    return { select: `select ${own.join()} from (${query})` };
  }
  const has = (field: string) => columns.find((one) => one.name === field);
  const messages = has('messages');
  const asked = ASKED.find(has);
  if (format === 'trl-dpo') {
    if (!asked || !has('chosen') || !has('rejected')) return { lacks: 'prompt with a chosen and a rejected answer' };
    const [chosen, rejected] = ['chosen', 'rejected'].map((field) => textIn(has(field)!));
    return {
      select: `select ${turns('user', prompt(columns, asked))} as prompt, ${turns('assistant', chosen!)} as chosen, ${turns('assistant', rejected!)} as rejected
      from (${query}) where ${name(asked)} is not null and ${chosen} is not null and ${rejected} is not null`,
    };
  }
  const answered = ANSWERED.find(has);
  if (asked && answered) return { select: pairQuery(query, format, columns, asked, answered) };
  if (messages?.type.startsWith('STRUCT') && messages.type.endsWith('[]') && format !== 'alpaca')
    return { select: messagesQuery(query, format) };
  return { lacks: 'question with an answer (instruction and response, say)' };
}

function pairQuery(query: string, format: Format, columns: readonly Column[], asked: string, answered: string): string {
  const there = `from (${query}) where ${name(asked)} is not null and ${name(answered)} is not null`;
  const [question, answer] = [prompt(columns, asked), name(answered)];
  if (format === 'alpaca') {
    const input = columns.some((one) => one.name === 'input') ? `coalesce(input, '')` : `''`;
    return `select ${name(asked)} as instruction, ${input} as input, ${answer} as output ${there}`;
  }
  if (format === 'sharegpt')
    return `select [{"from": 'human', "value": ${question}}, {"from": 'gpt', "value": ${answer}}] as conversations ${there}`;
  return `select ${turns('user', question)} as prompt, ${turns('assistant', answer)} as completion ${there}`;
}

/** Dialogues whose last turn is the assistant's. */
function messagesQuery(query: string, format: Format): string {
  const there = `from (${query}) where messages[-1].role = 'assistant'`;
  if (format === 'sharegpt') {
    const role = `case m.role when 'user' then 'human' when 'assistant' then 'gpt' else m.role end`;
    return `select list_transform(messages, lambda m: {"from": ${role}, "value": m.content}) as conversations ${there}`;
  }
  const turn = `lambda m: {"role": m.role, "content": m.content}`;
  return `select list_transform(messages[:-2], ${turn}) as prompt, list_transform(messages[-1:], ${turn}) as completion ${there}`;
}

/** A text, or the text of an answer with token weights. */
const textIn = ({ name: field, type }: Column): string => (type.startsWith('STRUCT') ? `${name(field)}.text` : name(field));
const turns = (role: string, content: string): string => `[{"role": '${role}', "content": ${content}}]`;
/** The question, and below it the input that it is about, if there is one. */
const prompt = (columns: readonly Column[], asked: string): string =>
  asked === 'instruction' && columns.some((one) => one.name === 'input' && one.type === 'VARCHAR')
    ? `instruction || case when coalesce(input, '') = '' then '' else chr(10) || chr(10) || input end`
    : name(asked);

/** Values of several types become JSON text: every reader of columns needs one type. */
const exported = ({ name: field, type }: Column): string =>
  type.includes('JSON') ? `to_json(${name(field)})::varchar as ${name(field)}` : name(field);

const columnsOf = async (database: Database, query: string): Promise<Column[]> =>
  database.rows<{ name: string; type: string } & Column>(`select column_name as name, column_type as type from (describe ${query})`);

/** A feature as dataset cards name it. */
export type Feature = { readonly name: string } & FeatureType;
type FeatureType =
  | { readonly dtype: string }
  | { readonly list: string | readonly Feature[] | FeatureType }
  | { readonly struct: readonly Feature[] };

/** The types of a query's columns, for `dataset_info` in a card. */
export async function featuresOf(database: Database, query: string): Promise<Feature[]> {
  return (await columnsOf(database, query)).map(({ name: field, type }) => ({ name: field, ...featureOf(type) }));
}

const DTYPES: Readonly<Record<string, string>> = { BIGINT: 'int64', INTEGER: 'int32', DOUBLE: 'float64', BOOLEAN: 'bool' };

function featureOf(type: string): FeatureType {
  if (type.endsWith('[]')) {
    const inner = featureOf(type.slice(0, -2));
    return { list: 'dtype' in inner ? inner.dtype : 'struct' in inner ? inner.struct : inner };
  }
  if (type.startsWith('STRUCT(')) {
    return { struct: fieldsIn(type.slice('STRUCT('.length, -1)).map(([field, own]) => ({ name: field, ...featureOf(own) })) };
  }
  return { dtype: DTYPES[type] ?? 'string' };
}

/** `a BIGINT, "b c" STRUCT(d VARCHAR)[]` -> fields with types. */
function fieldsIn(text: string): [string, string][] {
  const fields: [string, string][] = [];
  let [depth, start, quoted] = [0, 0, false];
  for (let at = 0; at <= text.length; at++) {
    const char = text[at];
    if (char === '"') quoted = !quoted;
    if (quoted) continue;
    if (char === '(') depth++;
    if (char === ')') depth--;
    if (at < text.length && (char !== ',' || depth > 0)) continue;
    const [, word = '', type = ''] = /^\s*("(?:[^"]|"")+"|\S+)\s+(.*)$/s.exec(text.slice(start, at)) ?? [];
    fields.push([word.startsWith('"') ? word.slice(1, -1).replaceAll('""', '"') : word, type]);
    start = at + 1;
  }
  return fields;
}
