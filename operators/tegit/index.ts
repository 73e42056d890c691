/** The work of TeGit on records: tasks that a model wraps documents into (2309.05447). */
import { z } from 'zod';
import { dataSuite, drop, keep, operator, type Context, type Dropped, type Prompt } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { sampling } from '../../schemas/sampling.ts';
import { wholeReply } from '../reply.ts';
import { wordsOf } from '../std/shingles.ts';
import { coverage, fieldsIn, validIn } from './parse.ts';
import { grounded, source, type Grounded, type Source } from './records.ts';

export { design, discriminating, toOutput, toTask, toText, wrapping } from './prompts.ts';

const asking = <const K extends string>(name: K) =>
  z.object({
    prompts: z.object({ [name]: registered } as Record<K, typeof registered>),
    sampling: z.object({ [name]: sampling } as Record<K, typeof sampling>),
  });
const echo = z.number();
/** Words below which a field may be found in the request by chance. */
const ECHO = 4;

/** One reply, all three fields, and how much of the output stands in the document; else why there is no task. */
async function taskOf<R extends string>(
  document: Source,
  context: Context<R>,
  role: R,
  asked: Prompt,
  how: z.infer<typeof sampling>,
  echo: number,
): Promise<Grounded | Dropped> {
  const said = await wholeReply(context, role, asked, how);
  if ('dropped' in said) return said;
  const fields = fieldsIn(said.text);
  if (typeof fields === 'string') return drop(fields, said.text);
  const request = requestIn(asked, document);
  const echoed = [fields.instruction, fields.output].find((field) => wordsOf(field).length >= ECHO && coverage(field, request) >= echo);
  if (echoed !== undefined) return drop('echo', echoed);
  return { text: document.text, ...fields, grounding: coverage(fields.output, document.text) };
}
/** What is asked, without the document. */
const requestIn = (asked: Prompt, { text }: Source): string =>
  ('messages' in asked ? asked.messages.map(({ content }) => content).join('\n') : 'text' in asked ? asked.text : '').replace(text, '');

/** Omega: a task that the teacher makes of a document. */
export const makeTask = operator({
  version: 1,
  input: source,
  output: grounded,
  params: asking('design').extend({ echo }),
  roles: ['teacher'],
  capabilities: ['chat'],
  stochastic: ({ sampling }) => sampling.design.temperature !== 0,
  async run(document, context, { prompts, sampling, echo }) {
    const task = await taskOf(document, context, 'teacher', context.prompt(prompts.design, document), sampling.design, echo);
    return 'dropped' in task ? task : keep(task);
  },
});

/** W3: the wrapper's task, in one call. */
export const wrap = operator({
  version: 1,
  input: source,
  output: grounded,
  params: asking('wrap').extend({ echo }),
  roles: ['wrapper'],
  capabilities: ['chat'],
  stochastic: ({ sampling }) => sampling.wrap.temperature !== 0,
  async run(document, context, { prompts, sampling, echo }) {
    const task = await taskOf(document, context, 'wrapper', context.prompt(prompts.wrap, document), sampling.wrap, echo);
    return 'dropped' in task ? task : keep(task);
  },
});

/** W4: whether a task is sound. */
export const discriminate = operator({
  version: 1,
  input: grounded,
  output: grounded,
  params: asking('discriminate'),
  roles: ['discriminator'],
  capabilities: ['chat'],
  stochastic: ({ sampling }) => sampling.discriminate.temperature !== 0,
  async run(task, context, { prompts, sampling }) {
    const said = await wholeReply(context, 'discriminator', context.prompt(prompts.discriminate, task), sampling.discriminate);
    if ('dropped' in said) return said;
    const valid = validIn(said.text);
    if (valid === undefined) return drop('no-verdict', said.text);
    return valid ? keep(task) : drop('not-valid', said.text);
  },
});

/** What a set of tasks is like: how many; the share with an input; means of their grounding and of the output's length in characters; the
 *  share whose output stands in the document word for word. */
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
