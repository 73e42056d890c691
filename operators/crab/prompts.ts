/** Defines the annotator's prompts of CRAB in our own words, in the reply formats that its code parses (2410.24175). */
import { prompt, template, type Chat } from '../../recipe/index.ts';
import { constraintTypes, type ConstraintType } from '../../schemas/recipes/crab-types.ts';
import { example } from '../example.ts';
import { user, withReply } from '../turns.ts';
import { chat, lesson, type Conversation, type Lesson, type Pair } from './records.ts';

type Asked = Pick<Pair, 'instruction' | 'response'>;
const userPrompt = <T extends object>(shown: NoInfer<T>, words: (slots: T) => string) =>
  prompt<T>({ version: 1, example: shown, render: (slots) => ({ messages: user(words(slots)) }) });
const pair: Asked = { instruction: example.instruction, response: example.response };
const shown = ({ instruction, response }: Asked): string => `Instruction:\n${instruction}\n\nResponse:\n${response}`;

/** G1: asks for the instruction in more detail. */
export const refine = userPrompt<Asked>(
  pair,
  (asked) =>
    `${shown(asked)}\n\nRewrite the instruction so that it fits the response more closely: say under which circumstances it holds and what exactly it is about. Add 10 to 20 words and no more. Keep its tables, its code and any text that it gives. Write only the new instruction.`,
);

export interface Listing extends Asked {
  readonly types: readonly ConstraintType[];
}
const listing = (subject: string) =>
  userPrompt<Listing>(
    { ...pair, types: constraintTypes.slice(0, 2) },
    ({ types, ...asked }) =>
      `${shown(asked)}\n\nFind constraints on ${subject} that the response meets already, and that one could add to the instruction. There are these types:
${types.map(({ name, about }) => `- ${name}: what ${about}`).join('\n')}

Reply with a JSON object: for each type one constraint, a sentence of 10 to 20 words that addresses the writer, or "NULL" if the response shows none. Word the sentences differently, and do not quote long parts of the response. Write only the JSON object.`,
  );
/** G2: asks for constraints on the response as a whole. */
export const askWhole = listing('the response as a whole');
/** G3: asks for constraints on its parts and their form. */
export const askParts = listing('the form and the parts of the response');

/** K1: asks whether the response meets a constraint, and for a true one in its place. */
export const askCheck = userPrompt<Asked & { readonly constraint: string }>(
  { ...pair, constraint: example.constraint },
  ({ constraint, response }) =>
    `Does a response meet a constraint? If not, change the constraint until the response meets it, and say whether the result still restricts a writer at all: "Use one or more paragraphs" does not. Reply with a JSON object and nothing else.

Constraint: Name at least four rivers.
Response:
The Rhine and the Danube begin in the Alps.
{
  "satisfaction": "NO",
  "explanation": "It names two rivers, the Rhine and the Danube.",
  "modified_constraint": "Name at least two rivers.",
  "constraint_validity": "YES"
}

Constraint: ${constraint}
Response:
${response}`,
);

/** A conversation, whose last turn is learnt. */
export const toChat = template<Conversation, Chat>({
  version: 1,
  input: chat,
  render: ({ messages, weight }) => ({ messages, ...(weight !== undefined && { weight }) }),
});

/** Lessons of the annotator. */
export const toReply = template<Lesson, Chat>({
  version: 1,
  input: lesson,
  render: ({ prompt, reply }) => withReply(user(prompt), reply),
});
