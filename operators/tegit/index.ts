/** Exports the operators of TeGit: tasks that a model generates from documents (2309.05447). */
import { z } from 'zod';
import { dataSuite, drop, keep, operator, type Context, type Dropped, type Prompt } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { sampling } from '../../schemas/sampling.ts';
import { wholeReply } from '../reply.ts';
import { wordsOf } from '../std/shingles.ts';
import { coverage, parseFields, parseValid } from './parse.ts';
import { grounded, source, task, type Grounded, type Source } from './records.ts';

export { design, discriminating, toOutput, toTask, toText, wrapping } from './prompts.ts';

const paramsFor = <const K extends string>(name: K) =>
  z.object({
    prompts: z.object({ [name]: registered } as Record<K, typeof registered>),
    sampling: z.object({ [name]: sampling } as Record<K, typeof sampling>),
  });
const echo = z.number();
/** Shorter fields may occur in the request by chance. */
const MIN_ECHO_WORDS = 4;

/** Requests a task and returns its three fields, and the share of the output that the document contains; or why there is no task. */
async function requestTask<R extends string>(
  document: Source,
  context: Context<R>,
  role: R,
  asked: Prompt,
  how: z.infer<typeof sampling>,
  echo: number,
): Promise<Grounded | Dropped> {
  const reply = await wholeReply(context, role, asked, how);
  if ('dropped' in reply) return reply;
  const fields = parseFields(reply.text);
  if (typeof fields === 'string') return drop(fields, reply.text);
  const request = promptWithoutDocument(asked, document);
  const echoed = [fields.instruction, fields.output].find(
    (field) => wordsOf(field).length >= MIN_ECHO_WORDS && coverage(field, request) >= echo,
  );
  if (echoed !== undefined) return drop('echo', echoed);
  return { text: document.text, ...fields, grounding: coverage(fields.output, document.text) };
}
/** The prompt without the document. */
const promptWithoutDocument = (asked: Prompt, { text }: Source): string =>
  ('messages' in asked ? asked.messages.map(({ content }) => content).join('\n') : 'text' in asked ? asked.text : '').replace(text, '');

/** Omega: the teacher makes a task from a document. */
export const makeTask = operator({
  version: 1,
  input: source,
  output: grounded,
  params: paramsFor('design').extend({ echo }),
  roles: ['teacher'],
  capabilities: ['chat'],
  stochastic: ({ sampling }) => sampling.design.temperature !== 0,
  async run(document, context, { prompts, sampling, echo }) {
    const task = await requestTask(document, context, 'teacher', context.prompt(prompts.design, document), sampling.design, echo);
    return 'dropped' in task ? task : keep(task);
  },
});

/** W3: the wrapper makes a task in one call. */
export const wrap = operator({
  version: 1,
  input: source,
  output: grounded,
  params: paramsFor('wrap').extend({ echo }),
  roles: ['wrapper'],
  capabilities: ['chat'],
  stochastic: ({ sampling }) => sampling.wrap.temperature !== 0,
  async run(document, context, { prompts, sampling, echo }) {
    const task = await requestTask(document, context, 'wrapper', context.prompt(prompts.wrap, document), sampling.wrap, echo);
    return 'dropped' in task ? task : keep(task);
  },
});

/** Measures how far a task of the meta-set is grounded. */
export const ground = operator({
  version: 1,
  input: task,
  output: grounded,
  run: (task) => keep({ ...task, grounding: coverage(task.output, task.text) }),
});

/** W4: keeps tasks that the discriminator finds valid. */
export const discriminate = operator({
  version: 1,
  input: grounded,
  output: grounded,
  params: paramsFor('discriminate'),
  roles: ['discriminator'],
  capabilities: ['chat'],
  stochastic: ({ sampling }) => sampling.discriminate.temperature !== 0,
  async run(task, context, { prompts, sampling }) {
    const reply = await wholeReply(context, 'discriminator', context.prompt(prompts.discriminate, task), sampling.discriminate);
    if ('dropped' in reply) return reply;
    const valid = parseValid(reply.text);
    if (valid === undefined) return drop('no-verdict', reply.text);
    return valid ? keep(task) : drop('not-valid', reply.text);
  },
});

/** Measures a set of tasks: their number; the share with an input; the mean grounding and the mean length of the output in characters;
 *  the share whose output is a verbatim part of the document. */
export const tasks = dataSuite({
  version: 1,
  async measure(rows: AsyncIterable<{ readonly value: Grounded }>) {
    let [count, inputs, grounding, chars, verbatim] = [0, 0, 0, 0, 0];
    for await (const { value } of rows) {
      count++;
      if (value.input !== '') inputs++;
      grounding += value.grounding;
      chars += value.output.length;
      if (value.text.includes(value.output)) verbatim++;
    }
    const mean = (sum: number) => (count === 0 ? 0 : sum / count);
    return { tasks: count, withInput: mean(inputs), grounding: mean(grounding), outputChars: mean(chars), verbatim: mean(verbatim) };
  },
});
