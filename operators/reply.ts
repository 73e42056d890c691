/** What models say, as the operators of several recipes take it. */
import { z } from 'zod';
import {
  drop,
  keep,
  operator,
  type Context,
  type Dropped,
  type Operator,
  type Prompt,
  type Reply,
  type Sampling,
  type Schema,
} from '../recipe/index.ts';
import { registered } from '../schemas/config.ts';
import { sampling } from '../schemas/sampling.ts';
import { said } from './said.ts';

/** A reply to a prompt of any kind: a chat, unless the prompt opens the reply or is raw text. */
const reply = <R extends string>({ chat, complete }: Context<R>, role: R, prompt: Prompt, sampling: Sampling): Promise<Reply> =>
  'messages' in prompt && prompt.prefill === undefined ? chat(role, prompt.messages, sampling) : complete(role, prompt, sampling);

/** The text of a reply that came to its end and says something, without thoughts and leaked tokens; else why its record goes. Every operator
 *  reads replies through this one, since a text that was cut off is not what the model had to say: half an instruction, a verdict from the
 *  midst of a thought.
 *  `opening`: what the prompt has said of it already. `mayBeCut`: its beginning is all that was asked for. */
export async function wholeReply<R extends string>(
  context: Context<R>,
  role: R,
  prompt: Prompt,
  sampling: Sampling,
  { opening = '', mayBeCut = false } = {},
): Promise<{ readonly text: string } | Dropped> {
  const { text, finish } = await reply(context, role, prompt, sampling);
  const own = said(text);
  if (own === undefined || (finish === 'length' && !mayBeCut)) return drop('truncated', text);
  if (own.trim() !== '') return { text: (opening + own).trim() };
  return text.trim() === '' ? drop('empty') : drop('empty', text);
}

const params = z.object({ prompt: registered, sampling });

/** Asks a model one thing about each record, in the words of a registered prompt, and keeps what `take` makes of a reply that came to its
 *  end and says something. */
export const asking = <In, Out, const R extends string>({
  role,
  slots,
  take,
  ...spec
}: {
  readonly version: number;
  readonly input: Schema<In>;
  readonly output: Schema<Out>;
  readonly role: R;
  /** What the prompt is about. Default: the record. */
  readonly slots?: (record: In) => object;
  readonly take: (text: string, record: In) => NoInfer<Out>;
}): Operator<In, Out, R, z.infer<typeof params>> =>
  operator({
    ...spec,
    params,
    roles: [role],
    capabilities: ['chat'],
    async run(record, context, { prompt, sampling }) {
      const said = await wholeReply(context, role, context.prompt(prompt, slots ? slots(record) : record), sampling);
      return 'dropped' in said ? said : keep(take(said.text, record));
    },
  });
