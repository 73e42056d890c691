/** Prompts that are Jinja files. */
import { randomUUID } from 'node:crypto';
import { Template } from '@huggingface/jinja';
import { prompt, type Prompt, type PromptDef } from '../recipe/define.ts';
import type { Message } from '../recipe/types.ts';
import { checkNames } from './jinja-names.ts';
import { JinjaError, JinjaSource, ROLES, TURN, type Role } from './jinja-source.ts';

/** No record can hold it, so no record can begin or end a turn. */
const SECRET = randomUUID();
const mark = (turn: string): string => `<${SECRET} ${turn}>`;
const MARKS = Object.fromEntries([...ROLES, 'end'].map((turn) => [turn, mark(turn)]));
const SPLIT = new RegExp(mark(`(${[...ROLES, 'end'].join('|')})`));

/** Raise it when the same file gives other prompts. */
const VERSION = 1;

/** Throws a `JinjaError` for a text that is none. */
export function jinjaPrompt(text: string): PromptDef<never> {
  const { template } = new JinjaSource(text);
  return prompt<never>({ version: VERSION, render: (slots) => promptOf(template.render({ ...(slots as object), [TURN]: MARKS })) });
}

/** Checks a text as a prompt. `example`: variables as the operator gives them; undefined: they are not known before. Throws a `JinjaError`. */
export function checkPrompt(text: string, example: object | undefined): void {
  const source = new JinjaSource(text);
  if (example === undefined) return;
  source.located((part) => checkNames(new Template(part), example, [TURN]));
  const rendered = source.located((part) => new Template(part).render({ ...example, [TURN]: MARKS }));
  try {
    promptOf(rendered);
  } catch (error) {
    throw new JinjaError(1, (error as Error).message);
  }
}

/** Throws for turns that no chat has. */
function promptOf(rendered: string): Prompt {
  const parts = rendered.split(SPLIT);
  const turns: { readonly role: Role; readonly content: string }[] = [];
  for (let at = 1; at + 2 < parts.length; at += 4) turns.push({ role: parts[at] as Role, content: parts[at + 1]!.trimEnd() });
  if (turns.some(({ role }) => role === 'text')) {
    if (turns.length > 1) throw new Error('{% text %} is a whole prompt without a chat template, and there is another turn beside it');
    return { text: turns[0]!.content };
  }
  const fault = orderFault(turns.map(({ role }) => role));
  if (fault) throw new Error(fault);
  const last = turns.at(-1)!;
  if (last.role === 'assistant') return { messages: turns.slice(0, -1) as Message[], prefill: last.content };
  return { messages: turns as Message[] };
}

function orderFault(roles: readonly Role[]): string | undefined {
  const [first] = roles;
  const chat = first === 'system' ? roles.slice(1) : roles;
  if (chat.length === 0) return 'it renders no user turn';
  const odd = chat.findIndex((role, at) => role !== (at % 2 === 0 ? 'user' : 'assistant'));
  if (odd < 0) return undefined;
  if (chat[odd] === 'system') return 'a system turn can only be the first';
  return `its turns are ${roles.join(', ')}: user and assistant take turns, and the user begins`;
}
