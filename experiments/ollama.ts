/** Writes a Modelfile for Ollama beside an exported model, with the model's chat template in Ollama's words. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Template } from '@huggingface/jinja';
import { BackspinError } from '../schemas/errors.ts';
import { templateIn } from '../steps/chat-template.ts';
import { ifThere } from '../store/files.ts';

/** What a chat template prints around the texts of turns. */
export interface Turns {
  /** Before the first turn, where the conversation has no system turn. */
  readonly head: string;
  /** Around a system turn; null: the template has none of its own. */
  readonly system: readonly [before: string, after: string] | null;
  readonly beforeUser: string;
  /** Between the text of a user and that of the assistant. */
  readonly beforeAssistant: string;
  readonly afterAssistant: string;
  /** Ends a reply. */
  readonly stop: string;
}

const [SYSTEM, FIRST, ANSWER, SECOND] = ['backspin-system', 'backspin-question', 'backspin-answer', 'backspin-another'];
const turn = (role: string, content: string) => ({ role, content });

/** Finds out by rendering conversations. Without `bos`, which Ollama sets itself. Throws `ConfigError` if the turns of a conversation do not
 *  simply follow each other. */
export function turnsOf(template: string, bos: string, eos: string): Turns {
  const parsed = new Template(template);
  const rendered = (messages: readonly object[], generation: boolean) => {
    const text = parsed.render({ messages, add_generation_prompt: generation, bos_token: bos, eos_token: eos });
    return bos !== '' && text.startsWith(bos) ? text.slice(bos.length) : text;
  };
  const render = (...messages: object[]) => rendered(messages, true);
  const one = render(turn('user', FIRST));
  const two = render(turn('user', FIRST), turn('assistant', ANSWER), turn('user', SECOND));
  const withSystem = attempt(() => render(turn('system', SYSTEM), turn('user', FIRST)));
  const head = before(one, FIRST);
  const between = inside(two, ANSWER, SECOND);
  const beforeUser = commonEnd(head, between);
  const beforeAssistant = after(one, FIRST);
  if (head === undefined || between === undefined || beforeUser === '' || inside(two, FIRST, ANSWER) !== beforeAssistant)
    throw new BackspinError(
      'ConfigError',
      "The turns of this model's chat template do not simply follow each other, and a Modelfile cannot say more: leave --ollama away, and write a TEMPLATE for it by hand.",
    );
  const toUser = withSystem && inside(withSystem, SYSTEM, FIRST);
  const own = toUser?.endsWith(beforeUser) ? ([before(withSystem!, SYSTEM)!, toUser.slice(0, -beforeUser.length)] as const) : null;
  return {
    head: head.slice(0, -beforeUser.length),
    system: own,
    beforeUser,
    beforeAssistant: beforeAssistant!,
    afterAssistant: between.slice(0, -beforeUser.length),
    stop: after(rendered([turn('user', FIRST), turn('assistant', ANSWER)], false), ANSWER)?.trim() ?? '',
  };
}

/** A template of Go, which Ollama renders. */
export function goTemplate({ head, system, beforeUser, beforeAssistant, afterAssistant }: Turns): string {
  const turns = [
    `{{- if eq .Role "user" }}${literal(beforeUser)}{{ .Content }}`,
    ...(system ? [`{{- else if eq .Role "system" }}${literal(system[0])}{{ .Content }}${literal(system[1])}`] : []),
    `{{- else if eq .Role "assistant" }}${literal(beforeAssistant)}{{ .Content }}${literal(afterAssistant)}`,
  ];
  const start = head === '' ? '' : system ? `{{- if not .System }}${literal(head)}{{ end }}` : literal(head);
  return `${start}{{- range .Messages }}\n${turns.join('\n')}\n{{- end }}\n{{- end }}${literal(beforeAssistant)}`;
}
const literal = (text: string): string => (text === '' ? '' : `{{ ${JSON.stringify(text)} }}`);

/** The Modelfile of the model in `folder`. Throws like `turnsOf`, and for a model without a chat template. */
export async function modelfileOf(folder: string): Promise<string> {
  const files = { 'chat_template.jinja': null, 'tokenizer_config.json': join(folder, 'tokenizer_config.json') };
  const own = await ifThere(readFile(join(folder, 'chat_template.jinja'), 'utf8'));
  const template = own ?? (await templateIn(files));
  if (template === undefined) throw new BackspinError('ConfigError', 'The model has no chat template: leave --ollama away.');
  const tokens = JSON.parse(await readFile(join(folder, 'tokenizer_config.json'), 'utf8')) as Readonly<Record<string, unknown>>;
  const turns = turnsOf(template, tokenText(tokens['bos_token']), tokenText(tokens['eos_token']));
  return [
    '# ollama create NAME -f Modelfile',
    'FROM .',
    `TEMPLATE """${goTemplate(turns)}"""`,
    ...(turns.stop === '' ? [] : [`PARAMETER stop ${JSON.stringify(turns.stop)}`]),
    '',
  ].join('\n');
}

const tokenText = (token: unknown): string =>
  typeof token === 'string' ? token : ((token as { readonly content?: string } | null | undefined)?.content ?? '');

function attempt<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch {
    return undefined; // the template refuses a system turn
  }
}
const before = (text: string, mark: string): string | undefined => (text.includes(mark) ? text.slice(0, text.indexOf(mark)) : undefined);
const after = (text: string, mark: string): string | undefined =>
  text.includes(mark) ? text.slice(text.indexOf(mark) + mark.length) : undefined;
const inside = (text: string, from: string, to: string): string | undefined => before(after(text, from) ?? '', to);

function commonEnd(a = '', b = ''): string {
  let length = 0;
  while (length < Math.min(a.length, b.length) && a.at(-length - 1) === b.at(-length - 1)) length++;
  return length === 0 ? '' : a.slice(-length);
}
