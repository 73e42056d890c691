/** The wording of TeGit, ours, in the form of reply that its code reads (2309.05447). */
import { prompt, template, type Chat, type Message } from '../../recipe/index.ts';
import { marked, markers } from './parse.ts';
import { task, type Source, type Task } from './records.ts';

const user = (content: string): Message => ({ role: 'user', content });

/** What teacher and wrapper are asked; the document goes with it. */
const request = `Make a task from the text below: an instruction, an input if the instruction needs one, and an output that rests on the text alone and leaves out what does not belong to it. Write nothing but these three fields:
${markers.instruction} what is to be done
${markers.input} what it is to be done with, or nothing
${markers.output} the answer`;
const asked = ({ text }: Source): readonly Message[] => [user(`${request}\n\nText:\n${text}`)];

/** Asks the teacher for a task of the meta-set. */
export const design = prompt<Source>({ version: 1, render: (source) => ({ messages: asked(source) }) });
/** Asks the wrapper, in the words that it was trained with. */
export const wrapping = prompt<Source>({ version: 1, template: 'tegit.toTask', render: (source) => ({ messages: asked(source) }) });
/** Asks whether a task is sound. */
export const discriminating = prompt<Task>({
  version: 1,
  render: ({ instruction, input, output }) => ({
    messages: [
      user(
        `Instruction: ${instruction}\n\n${input === '' ? '' : `Input: ${input}\n\n`}Output: ${output}\n\nIs the instruction clear, and does the output do what it says? Write "Valid: Yes" or "Valid: No".`,
      ),
    ],
  }),
});

const instructed = ({ instruction, input }: Pick<Task, 'instruction' | 'input'>): Message =>
  user(input === '' ? instruction : `${instruction}\n\n${input}`);

/** The wrapper: document -> the three fields. The loss is on the fields alone. */
export const toTask = template<Task, Chat>({
  version: 1,
  input: task,
  render: (one) => ({ messages: [...asked(one), { role: 'assistant', content: marked(one) }] }),
});
/** The student: instruction and input -> output. */
export const toOutput = template<Task, Chat>({
  version: 1,
  input: task,
  render: (one) => ({ messages: [instructed(one), { role: 'assistant', content: one.output }] }),
});
/** The control: instruction and input -> the whole document. */
export const toText = template<Task, Chat>({
  version: 1,
  input: task,
  render: (one) => ({ messages: [instructed(one), { role: 'assistant', content: one.text }] }),
});
