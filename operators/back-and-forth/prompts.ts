/** Defines the prompts of back-and-forth translation, in our own words, after the paper's appendix A. */
import { prompt, template, type Chat, type Message } from '../../recipe/index.ts';
import { example } from '../example.ts';
import { tagged, tags } from '../humpback/prompts.ts';
import { pair, type Pair, type Segment } from '../humpback/records.ts';
import { user, withReply } from '../turns.ts';
import { markers } from './parse.ts';

/** y -> x: the same prompt for training and inference of the backward model. No text follows the response, because a model takes the
 *  last sentence for its task. */
const askForInstruction = (text: string): readonly Message[] =>
  user(`Write the question or request that the text below answers, and nothing else.\n\n${text}`);

export const backward = prompt<Segment>({
  version: 1,
  template: 'back-and-forth.toInstruction',
  example: { text: example.text },
  render: ({ text }) => ({ messages: askForInstruction(text) }),
});
export const toInstruction = template<Pair, Chat>({
  version: 1,
  input: pair,
  render: ({ instruction, response }) => withReply(askForInstruction(response), instruction),
});

/** Prompts a student with the tag of its seed data. `humpback.response` with both tags is the prompt for evaluations (A.4). */
export const respond = prompt<Pick<Pair, 'instruction'>>({
  version: 1,
  template: 'humpback.toResponse',
  example: { instruction: example.instruction },
  render: ({ instruction }) => ({ messages: tagged(instruction, tags.seed) }),
});

const askToRewrite = ({ instruction, response }: Pair): readonly Message[] =>
  user(`Question:
${instruction}

Draft of an answer:
${response}

Rewrite the draft so that it answers the question. Begin with the answer. Keep the words of the draft where you can, and put them in a clear order. Leave out what does not belong to the answer, and add no facts. Write the new answer between ${markers.open} and ${markers.close}.`);

/** Prompts the rewriter with the response and the instruction. */
const drafted = { instruction: example.instruction, response: example.response };
export const rewriting = prompt<Pair>({ version: 1, example: drafted, render: (pair) => ({ messages: askToRewrite(pair) }) });
/** The same for small models, which forget the markers: after an example, and with the first marker as prefill. */
export const rewritingShown = prompt<Pair>({
  version: 1,
  example: drafted,
  render: (pair) => ({
    messages: [...withReply(askToRewrite(shown), shown.rewritten).messages, ...askToRewrite(pair)],
    prefill: markers.open,
  }),
});
const shown = {
  instruction: 'Why does bread go stale?',
  response: 'Bread stales. starch recrystallizes as it cools - fridge makes it faster!! (see also: storage)',
  rewritten: `${markers.open}
Bread goes stale because its starch crystallizes again after baking. This happens faster in a fridge, so keep bread at room temperature.
${markers.close}`,
};

/** Prompts the rewriter with the instruction alone. */
export const answering = prompt<Pick<Pair, 'instruction'>>({
  version: 1,
  example: { instruction: example.instruction },
  render: ({ instruction }) => ({ messages: user(instruction) }),
});

/** Asks which of two answers is better. */
export const comparing = prompt<{ readonly instruction: string; readonly first: string; readonly second: string }>({
  version: 1,
  example: { instruction: example.instruction, first: example.response, second: example.text },
  render: ({ instruction, first, second }) => ({
    messages: user(`Question:
${instruction}

Answer A:
${first}

Answer B:
${second}

Which answer is better, A or B? Reply with the letter.`),
  }),
});
