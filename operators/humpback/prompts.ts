/** Defines the prompts of Humpback, in our own words. */
import { prompt, type Message } from '../../recipe/index.ts';
import { example } from '../example.ts';
import { user } from '../turns.ts';
import type { Pair, Segment } from './records.ts';

/** S_a and S_w (2.3): tags at the end of the instruction that say which kind of response follows. */
export const tags = {
  seed: 'Respond the way an AI assistant would.',
  augmented: 'Respond with what a search of the web would tell you.',
} as const;

export const tagged = (instruction: string, ...with_: readonly string[]): readonly Message[] =>
  user([instruction, with_.join(' ')].filter(Boolean).join('\n\n'));

/** y -> x: the same prompt for training and inference of M_yx. */
export const askForInstruction = ({ text }: Segment): readonly Message[] =>
  user(`A user's question was answered with the text below. Write the question that this text answers best.\n\n${text}\n\n${tags.seed}`);

export const backward = prompt<Segment>({
  version: 1,
  template: 'humpback.toInstruction',
  example: { text: example.text },
  render: (segment) => ({ messages: askForInstruction(segment) }),
});

/** Inference uses both tags together, which no training row has: that works best (table 8). */
export const response = prompt<Pick<Pair, 'instruction'>>({
  version: 1,
  template: 'humpback.toResponse',
  example: { instruction: example.instruction },
  render: ({ instruction }) => ({ messages: tagged(instruction, tags.seed, tags.augmented) }),
});

/** The five-point scale of table 1. */
export const curation = prompt<Pair>({
  version: 1,
  template: 'humpback.toResponse',
  example: { instruction: example.instruction, response: example.response },
  render: ({ instruction, response }) => ({
    messages:
      user(`You are given a user's instruction and a candidate answer. Is the answer a good example of how an AI assistant should respond to that instruction? Rate it from 1 to 5:

1: The answer is incomplete, vague, off topic or controversial, or not what was asked for. Content may be missing, it may begin in the middle or repeat the question; it may be a personal experience or opinion from a blog, a post in a forum, or carry advertising, navigation or other text that does not belong.
2: The answer deals with most of what was asked, but not directly: it describes an approach in general, say, where an exact solution was asked for.
3: The answer is helpful and deals with everything that was asked. It is complete by itself, but it was written by someone else than an assistant and for another purpose: it reads like an excerpt of a blog, a web page or search results, with a person's own views or with mentions of comments or sharing.
4: The answer is written as an assistant, with the clear aim to do what was asked. It is complete, clear and comprehensive, well organised, self-contained and helpful in tone. Little could be better: it could be more concise or more focused.
5: The answer is perfect. It aims only at helping, as an assistant, and holds nothing irrelevant. It shows an expert's knowledge, is well written, logical, easy to follow, engaging and insightful.

First give your reasons in a few words. Then write the rating as the last line, in the form "Score: <rating>".

Instruction: ${instruction}

Answer: ${response}`),
  }),
});
