/** Defines the prompts of TeGit in our own words, in the reply format that its code parses (2309.05447). */
import { prompt, template, type Chat, type Message } from '../../recipe/index.ts';
import { example } from '../example.ts';
import { user, withReply } from '../turns.ts';
import { marked, markers } from './parse.ts';
import { task, type Source, type Task } from './records.ts';

/** The request to teacher and wrapper; the document follows it. */
const request = `Make a task from the text below: an instruction, an input if the instruction needs one, and an output that rests on the text alone and leaves out what does not belong to it. Write nothing but these three fields:
${markers.instruction} what is to be done
${markers.input} what it is to be done with, or nothing
${markers.output} the answer`;
const asked = ({ text }: Source): readonly Message[] => user(`${request}\n\nText:\n${text}`);

/** Prompts the teacher for a task of the meta-set. */
export const design = prompt<Source>({ version: 1, example: { text: example.text }, render: (source) => ({ messages: asked(source) }) });
/** Prompts the wrapper with the prompt of its training. */
export const wrapping = prompt<Source>({
  version: 1,
  template: 'tegit.toTask',
  example: { text: example.text },
  render: (source) => ({ messages: asked(source) }),
});
/** Asks whether a task is valid. */
export const discriminating = prompt<Task>({
  version: 1,
  example: { text: example.text, instruction: example.instruction, input: '', output: example.response },
  render: ({ instruction, input, output }) => ({
    messages: user(
      `Instruction: ${instruction}\n\n${input === '' ? '' : `Input: ${input}\n\n`}Output: ${output}\n\nIs the instruction clear, and does the output do what it says? Write "Valid: Yes" or "Valid: No".`,
    ),
  }),
});

const instructed = ({ instruction, input }: Pick<Task, 'instruction' | 'input'>): readonly Message[] =>
  user(input === '' ? instruction : `${instruction}\n\n${input}`);

/** Trains the wrapper: document -> the three fields. The loss is on the fields alone. */
export const toTask = template<Task, Chat>({
  version: 1,
  input: task,
  render: (one) => withReply(asked(one), marked(one)),
});
/** Trains the student: instruction and input -> output. */
export const toOutput = template<Task, Chat>({
  version: 1,
  input: task,
  render: (one) => withReply(instructed(one), one.output),
});
/** Trains the control: instruction and input -> the complete document. */
export const toText = template<Task, Chat>({
  version: 1,
  input: task,
  render: (one) => withReply(instructed(one), one.text),
});
