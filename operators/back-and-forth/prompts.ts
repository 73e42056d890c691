/** The wording of back-and-forth translation, in our own words: what the paper asks for (appendix A), not how it says so. */
import { prompt, template, type Chat, type Message } from '../../recipe/index.ts';
import { tagged, tags, user } from '../humpback/prompts.ts';
import { pair, type Pair, type Segment } from '../humpback/records.ts';
import { markers } from './parse.ts';

/** y -> x, in the one wording that the backward model is trained with and asked with. Nothing follows the text: a model takes its last
 *  sentence for the task. */
const askForInstruction = (text: string): readonly Message[] =>
  user(`Write the question or request that the text below answers, and nothing else.\n\n${text}`);

export const backward = prompt<Segment>({
  version: 1,
  template: 'back-and-forth.toInstruction',
  render: ({ text }) => ({ messages: askForInstruction(text) }),
});
export const toInstruction = template<Pair, Chat>({
  version: 1,
  input: pair,
  render: ({ instruction, response }) => ({ messages: [...askForInstruction(response), { role: 'assistant', content: instruction }] }),
});

/** Gives a student an instruction as in its seed. Its other tag for evaluations (A.4) is `humpback.response`: both tags together. */
export const respond = prompt<Pick<Pair, 'instruction'>>({
  version: 1,
  template: 'humpback.toResponse',
  render: ({ instruction }) => ({ messages: tagged(instruction, tags.seed) }),
});

const askToRewrite = ({ instruction, response }: Pair): readonly Message[] =>
  user(`Question:
${instruction}

Draft of an answer:
${response}

Rewrite the draft so that it answers the question. Begin with the answer. Keep the words of the draft where you can, and put them in a clear order. Leave out what does not belong to the answer, and add no facts. Write the new answer between ${markers.open} and ${markers.close}.`);

/** Shows the rewriter the document and the instruction. */
export const rewriting = prompt<Pair>({ version: 1, render: (pair) => ({ messages: askToRewrite(pair) }) });
/** The same for a small model, which would forget the first marker: its reply is begun with it. */
export const rewritingOpened = prompt<Pair>({
  version: 1,
  render: (pair) => ({ messages: askToRewrite(pair), prefill: markers.open }),
});

/** Shows it the instruction alone. */
export const answering = prompt<Pick<Pair, 'instruction'>>({ version: 1, render: ({ instruction }) => ({ messages: user(instruction) }) });

/** Which of two answers is better. */
export const comparing = prompt<{ readonly instruction: string; readonly first: string; readonly second: string }>({
  version: 1,
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
