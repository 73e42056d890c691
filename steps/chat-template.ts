/** The chat template of a model folder, and the arguments that an experiment file sets for it. */
import { readFile } from 'node:fs/promises';
import { Template } from '@huggingface/jinja';

export const CHAT_TEMPLATE = 'chat_template.jinja';
/** The function of a chat template that gives the date. */
const NOW = 'strftime_now';
const TOKENIZER_CONFIG = 'tokenizer_config.json';

/** JSON values by variable of the template. */
export type ChatTemplateArguments = Readonly<Record<string, unknown>>;
/** What an experiment file sets for a model's chat template, and for the end of its turns. */
export interface TemplateSettings {
  readonly chatTemplateArguments?: ChatTemplateArguments;
  /** Text of the system turn of conversations that have none. */
  readonly system?: string;
  /** A token that ends a turn, beside those that the model's files list. */
  readonly endToken?: string;
}

/** The default template among the files of a model (name -> path); undefined: it has none. */
export async function templateIn(files: Readonly<Record<string, string | null>>): Promise<string | undefined> {
  const own = files[CHAT_TEMPLATE];
  if (own) return readFile(own, 'utf8');
  const config = files[TOKENIZER_CONFIG];
  if (!config) return undefined;
  return listedTemplate(JSON.parse(await readFile(config, 'utf8')));
}

/** The default template in a tokenizer_config.json, which has one template or a list of named ones. */
export function listedTemplate(config: unknown): string | undefined {
  const { chat_template: template } = config as { readonly chat_template?: unknown };
  if (typeof template === 'string') return template;
  if (!Array.isArray(template)) return undefined;
  return (template as { readonly name?: unknown; readonly template?: string }[]).find(({ name }) => name === 'default')?.template;
}

/** Writes 1 January 2025 in the place of today: trained rows and prompts must not change overnight. */
const DATES = Object.entries({
  '%-d': '1',
  '%d': '01',
  '%A': 'Wednesday',
  '%a': 'Wed',
  '%B': 'January',
  '%b': 'Jan',
  '%-m': '1',
  '%m': '01',
})
  .concat(Object.entries({ '%Y': '2025', '%y': '25', '%H': '00', '%I': '12', '%M': '00', '%S': '00', '%p': 'AM' }))
  .map(([code, text]) => ` | replace('${code}', '${text}')`);
const DATE = `{%- macro ${NOW}(format) %}{{ format${DATES.join('')} }}{%- endmacro %}`;

/** The template with these values for variables that a request does not set, this system turn for conversations without one, and a fixed
 *  date in the place of today's. So whoever renders it (trainer, embedded server, vLLM) uses them. The line break keeps the first line of the
 *  template a first line, and is not printed. */
export function withSettings(template: string, { chatTemplateArguments: values = {}, system }: TemplateSettings): string {
  const lines = Object.entries(values).map(
    ([name, value]) => `{%- if ${name} is not defined %}{%- set ${name} = ${literal(value)} %}{%- endif %}`,
  );
  const turn = literal({ role: 'system', content: system });
  if (readsVariable(template, NOW) && !template.includes(DATE)) lines.unshift(DATE);
  if (system !== undefined) lines.push(`{%- if messages[0].role != 'system' %}{%- set messages = [${turn}] + messages %}{%- endif %}`);
  return lines.length === 0 ? template : `${lines.join('')}\n${template}`;
}

/** A JSON value in the syntax of Jinja. */
function literal(value: unknown): string {
  if (value === null) return 'none';
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, inner]) => `${JSON.stringify(key)}: ${literal(inner)}`)
    .join(', ')}}`;
}

/** Whether the template reads a variable. */
export function readsVariable(template: string, name: string): boolean {
  try {
    return finds(new Template(template).parsed, name);
  } catch {
    return new RegExp(String.raw`\{[{%](?:(?![%}]\}).)*\b${name}\b`, 's').test(template); // this Jinja lacks a feature of it
  }
}
/** Parts of a node that hold names which are no variables. */
const NAMES = new Set(['filter', 'test', 'key']);
function finds(node: unknown, name: string): boolean {
  if (node instanceof Map) return [...node].flat().some((inner) => finds(inner, name));
  if (Array.isArray(node)) return node.some((inner) => finds(inner, name));
  if (typeof node !== 'object' || node === null) return false;
  const { type, value, property, computed, ...rest } = node as Readonly<Record<string, unknown>>;
  if (type === 'Identifier') return value === name;
  if (computed === true && finds(property, name)) return true;
  const parts = Object.entries(rest).filter(
    ([key, inner]) => !(NAMES.has(key) && (inner as { type?: string } | null)?.type === 'Identifier'),
  );
  return finds(value, name) || parts.some(([, inner]) => finds(inner, name));
}
