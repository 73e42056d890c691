/** The wordings of Cycle-Instruct, ours: the paper's are not known. */
import { prompt, template, type Chat, type Message } from '../../recipe/index.ts';
import { qa, type Answer, type Passage, type QA, type Question } from './records.ts';

const user = (content: string): readonly Message[] => [{ role: 'user', content }];
const askForQuestion = ({ answer }: Answer) => user(`Write the one question that the text below answers, and nothing else.\n\n${answer}`);
const learnt = (asked: readonly Message[], content: string): Chat => ({ messages: [...asked, { role: 'assistant', content }] });

/** Asks Q2A, once it is trained. */
export const answer = prompt<Question>({
  version: 1,
  template: 'cycle-instruct.toAnswer',
  render: ({ question }) => ({ messages: user(question) }),
});

/** Asks A2Q, once it is trained. */
export const ask = prompt<Answer>({
  version: 1,
  template: 'cycle-instruct.toQuestion',
  render: (given) => ({ messages: askForQuestion(given) }),
});

/** Asks a base model for an answer: it goes on writing, so its sampling should stop at the next header. */
export const baseAnswer = prompt<Question>({ version: 1, render: ({ question }) => ({ text: `Question: ${question}\nAnswer:` }) });

/** Asks a base model for a question. */
export const baseAsk = prompt<Answer>({ version: 1, render: ({ answer }) => ({ text: `Answer: ${answer}\nQuestion:` }) });

export const rewriteQuestion = prompt<Passage>({
  version: 1,
  render: ({ text }) => ({
    text: `Text: ${text}\nThe text above holds a question. The same question, clear without any context and nothing else:\nQuestion:`,
  }),
});

export const rewriteAnswer = prompt<Passage>({
  version: 1,
  render: ({ text }) => ({ text: `Text: ${text}\nThe same content as one coherent paragraph and nothing else:\nAnswer:` }),
});

/** Q2A: the question is given, the answer learnt. */
export const toAnswer = template<QA, Chat>({
  version: 1,
  input: qa,
  render: ({ question, answer }) => learnt(user(question), answer),
});

/** A2Q: the answer is given, the question learnt. */
export const toQuestion = template<QA, Chat>({
  version: 1,
  input: qa,
  render: ({ question, answer }) => learnt(askForQuestion({ answer }), question),
});
