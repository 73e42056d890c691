/** Turns rows in the formats of public instruction data into pairs of instruction and response. */
import { drop, type Dropped } from '../recipe/index.ts';
import { getAt, parseValue, type Entry, type Values } from './lines.ts';

interface Turn {
  readonly by: 'user' | 'assistant' | 'other';
  readonly text: string;
}
type Exchange = readonly [instruction: string, response: string];
export interface Pair {
  readonly instruction: string;
  readonly response: string;
}

/** Reads the turns of a row; a sentence if it does not have this format. */
type Format = (row: Values) => readonly Turn[] | string;

const USER = new Set(['user', 'human', 'prompter']);
const ASSISTANT = new Set(['assistant', 'ai', 'gpt', 'chatgpt', 'model', 'bot', 'bard', 'bing']);
const OTHER = new Set(['system', 'developer', 'tool', 'function', 'function_call', 'observation']);
const roleOf = (name: unknown): Turn['by'] | undefined => {
  const role = String(name).trim().toLowerCase();
  return USER.has(role) ? 'user' : ASSISTANT.has(role) ? 'assistant' : OTHER.has(role) ? 'other' : undefined;
};

/** Where datasets have their conversations. */
const LISTS = ['messages', 'conversations', 'conversation'];

/** Conversations of objects with a role and a text. */
const spoken =
  (list: string, role: string, text: string): Format =>
  (row) => {
    const turns = [list, ...LISTS].map((name) => listIn(row[name])).find((found) => found !== undefined);
    if (!turns) return `has no list "${list}"`;
    const read: Turn[] = [];
    for (const turn of turns as readonly Values[]) {
      const by = roleOf(turn?.[role]);
      const said = textOf(turn?.[text]);
      if (by === undefined) return `has a turn by ${JSON.stringify(turn?.[role])}, which is no known role`;
      const callsTool = by === 'assistant' && (turn?.[text] ?? null) === null && Array.isArray(turn?.['tool_calls']);
      if (said === undefined && by !== 'other' && !callsTool) return `has a turn without a text in "${text}"`;
      read.push({ by: callsTool ? 'other' : by, text: said ?? '' });
    }
    return read;
  };

/** A list, or the JSON text of one, as a cell of a CSV file holds it. */
function listIn(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value;
  if (typeof value !== 'string' || !/^\s*\[/.test(value)) return undefined;
  const parsed = parseValue(value);
  return 'value' in parsed && Array.isArray(parsed.value) ? parsed.value : undefined;
}

/** A text, or a list of text parts. */
function textOf(content: unknown): string | undefined {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return undefined;
  const parts = (content as Values[]).map((part) => (part?.['type'] === 'text' ? part['text'] : undefined));
  return parts.every((part) => typeof part === 'string') ? parts.join('') : undefined;
}

const one = (instruction: unknown, response: unknown, names: string): readonly Turn[] | string =>
  typeof instruction === 'string' && typeof response === 'string'
    ? [
        { by: 'user', text: instruction },
        { by: 'assistant', text: response },
      ]
    : `has no texts "${names}"`;

/** An input of Alpaca that is none. */
const NO_INPUT = /^\s*([<[]?no ?input[>\]]?|n\/?a|nan|none|null|not applicable)?\.?\s*$/i;

type FormatName = 'messages' | 'sharegpt' | 'alpaca' | 'prompt-completion' | 'preference' | 'lima' | 'guanaco' | 'oasst';
const formats: Readonly<Record<FormatName, Format>> = {
  messages: spoken('messages', 'role', 'content'),
  sharegpt: spoken('conversations', 'from', 'value'),
  alpaca: ({ instruction, input, output }) => {
    const parts = [instruction, typeof input === 'string' && !NO_INPUT.test(input) ? input : ''].filter(
      (text) => String(text).trim() !== '',
    );
    return one(typeof instruction === 'string' ? parts.join('\n\n') : undefined, output, 'instruction" and "output');
  },
  'prompt-completion': ({ prompt, completion }) => {
    if (!Array.isArray(prompt)) return one(prompt, completion, 'prompt" and "completion');
    const answer = typeof completion === 'string' ? [{ role: 'assistant', content: completion }] : completion;
    if (!Array.isArray(answer)) return 'has no text, and no messages, "completion"';
    return formats.messages({ messages: [...(prompt as unknown[]), ...(answer as unknown[])] });
  },
  preference: ({ prompt, chosen, rejected }) => {
    if (rejected === undefined) return 'has no "rejected"';
    if (Array.isArray(chosen) && (prompt === undefined || roleOf((chosen[0] as Values | undefined)?.['role']) !== 'assistant'))
      return formats.messages({ messages: chosen as unknown[] });
    if (typeof chosen === 'string' && prompt === undefined) return dialogue(chosen);
    if (typeof prompt === 'string' && Array.isArray(chosen))
      return formats.messages({ messages: [{ role: 'user', content: prompt }, ...(chosen as unknown[])] });
    const read = formats['prompt-completion']({ prompt, completion: chosen });
    return typeof read === 'string' ? 'has no texts, and no messages, "prompt" and "chosen"' : read;
  },
  lima: ({ conversations }) =>
    Array.isArray(conversations) && conversations.every((text) => typeof text === 'string')
      ? conversations.map((text, at) => ({ by: at % 2 === 0 ? 'user' : 'assistant', text }) as const)
      : 'has no list "conversations" of texts',
  guanaco: ({ text }) =>
    typeof text === 'string' && /^\s*### (Human|Assistant):/.test(text)
      ? [...text.matchAll(/### (Human|Assistant):([^]*?)(?=### (?:Human|Assistant):|$)/g)].map(([, by, said]) => ({
          by: by === 'Human' ? 'user' : 'assistant',
          text: said!.trim(),
        }))
      : 'has no "text" that begins with "### Human:"',
  oasst: (row) => bestAnswers(getAt(row, 'prompt') as Values | undefined),
};
export const formatNames = Object.keys(formats) as readonly FormatName[];

/** A conversation as Anthropic's HH-RLHF writes it: "\n\nHuman: ... \n\nAssistant: ...". */
function dialogue(text: string): readonly Turn[] | string {
  const turns = [...text.matchAll(/(?:^|\n\n)(Human|Assistant):([^]*?)(?=\n\n(?:Human|Assistant):|$)/g)];
  if (turns.length < 2) return 'has no texts, and no messages, "prompt" and "chosen"';
  return turns.map(([, by, said]) => ({ by: by === 'Human' ? 'user' : 'assistant', text: said!.trim() }));
}

/** A tree of Open Assistant, followed along the best ranked replies. */
function bestAnswers(root: Values | undefined): readonly Turn[] | string {
  const turns: Turn[] = [];
  for (let node = root; node; node = bestOf(node['replies'])) {
    const by = roleOf(node['role']);
    if (by === undefined || typeof node['text'] !== 'string') return 'has no tree of messages in "prompt"';
    turns.push({ by, text: node['text'] });
  }
  return turns.length > 0 ? turns : 'has no tree of messages in "prompt"';
}
const bestOf = (replies: unknown): Values | undefined =>
  Array.isArray(replies) ? (replies as Values[]).toSorted((a, b) => rankOf(a) - rankOf(b))[0] : undefined;
const rankOf = ({ rank }: Values): number => (typeof rank === 'number' ? rank : Infinity);

/** Joins the messages of Open Assistant's flat files, one a row in any order, to trees of the format `oasst`. Each has the place of its first
 *  message. Other rows pass as they are. */
export async function* treesOf(entries: AsyncIterable<Entry>): AsyncGenerator<Entry> {
  const replies = new Map<unknown, Values[]>();
  const roots: { readonly number: number; readonly value: Values }[] = [];
  const known = new Set<unknown>([null]);
  const answered = new Map<unknown, number>();
  for await (const entry of entries) {
    if ('fault' in entry || !('message_id' in entry.value && 'parent_id' in entry.value)) {
      yield entry;
      continue;
    }
    const { number, value } = entry;
    known.add(value['message_id']);
    if (value['deleted'] === true) continue;
    if (!answered.has(value['parent_id'])) answered.set(value['parent_id'], number);
    const own = listAt(replies, value['message_id']);
    const node = { ...value, replies: own };
    if (value['parent_id'] === null) roots.push({ number, value: { prompt: node } });
    else listAt(replies, value['parent_id']).push(node);
  }
  yield* roots;
  for (const [parent, number] of answered)
    if (!known.has(parent))
      yield { number, fault: `answers the message ${String(parent)}, which the file lacks`, remedy: 'give whole trees' };
}
function listAt(lists: Map<unknown, Values[]>, name: unknown): Values[] {
  const list = lists.get(name) ?? [];
  lists.set(name, list);
  return list;
}

/** A user's turn and the assistant's answer right after it: the first or the last of a conversation, or the only one, where `single` drops
 *  conversations of several. System turns and those of tools are left out. A sentence if the row does not have the format. */
export function pairOf(row: Values, format: FormatName, turns: 'first' | 'last' | 'single', where: string): Pair | Dropped | string {
  const read = formats[format](row);
  if (typeof read === 'string') return read;
  const exchanges = read.flatMap(({ by, text }, at): Exchange[] => {
    const next = read[at + 1];
    return by === 'user' && next?.by === 'assistant' ? [[text, next.text]] : [];
  });
  if (exchanges.length === 0) return drop('no-answer', `${where} has no user's turn with an answer after it`);
  if (turns === 'single' && read.filter(({ by }) => by === 'user').length > 1)
    return drop('several-turns', `${where} has ${exchanges.length} exchanges`);
  const [instruction, response] = exchanges.at(turns === 'last' ? -1 : 0)!;
  return instruction.trim() === '' || response.trim() === '' ? drop('empty', `${where} has an empty turn`) : { instruction, response };
}

/** The format that a row seems to have. */
export const formatLike = (row: Values): FormatName | undefined => formatNames.find((name) => typeof formats[name](row) !== 'string');
