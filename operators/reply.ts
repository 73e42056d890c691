/** Requests replies from models, and defines operators that consist of one prompt. */
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
import { stripReasoning } from './strip-reasoning.ts';

/** Sends a chat request, unless the prompt has a prefill or is raw text. */
export const requestReply = <R extends string>(
  { chat, complete }: Context<R>,
  role: R,
  prompt: Prompt,
  sampling: Sampling,
): Promise<Reply> =>
  'messages' in prompt && prompt.prefill === undefined ? chat(role, prompt.messages, sampling) : complete(role, prompt, sampling);

/** Returns the text of a finished reply without reasoning and leaked special tokens, or drops the record if the reply was cut off or is
 *  empty. Every operator reads replies through this function, because a truncated reply may be half an instruction or a verdict from the
 *  middle of a thought. `opening`: the part of the reply that the prompt has already written. `mayBeCut`: accepts a truncated reply,
 *  because the caller needs only its beginning. */
export async function wholeReply<R extends string>(
  context: Context<R>,
  role: R,
  prompt: Prompt,
  sampling: Sampling,
  { opening = '', mayBeCut = false } = {},
): Promise<{ readonly text: string } | Dropped> {
  const { text, finish, reasoning = '' } = await requestReply(context, role, prompt, sampling);
  const own = stripReasoning(text);
  if (own === undefined || (finish === 'length' && !mayBeCut)) return drop('truncated', text || reasoning);
  if (own.trim() !== '') return { text: (opening + own).trim() };
  const evidence = text.trim() === '' ? reasoning : text;
  return evidence === '' ? drop('empty') : drop('empty', evidence);
}

/** The sampling of one request: with `schema: true` it gets the JSON Schema of `reply`; none, if `reply` is null since the request has no JSON
 *  reply. */
export function inSchema({ schema, ...sampling }: Sampling, reply: z.ZodType | null): Sampling {
  if (schema !== true) return schema === undefined ? sampling : { ...sampling, schema };
  if (reply === null) return sampling;
  const { $schema: _, ...own } = z.toJSONSchema(reply);
  return { ...sampling, schema: own };
}

const params = z.object({ prompt: registered, sampling });

/** Defines an operator that sends one registered prompt for each record and keeps the value that `take` makes of a finished, non-empty
 *  reply. */
export const promptOperator = <In, Out, const R extends string>({
  role,
  slots,
  take,
  ...spec
}: {
  readonly version: number;
  readonly input: Schema<In>;
  readonly output: Schema<Out>;
  readonly role: R;
  /** Values for the prompt's placeholders. Default: the record. */
  readonly slots?: (record: In) => object;
  readonly take: (text: string, record: In) => NoInfer<Out>;
}): Operator<In, Out, R, z.infer<typeof params>> =>
  operator({
    ...spec,
    params,
    roles: [role],
    capabilities: ['chat'],
    async run(record, context, { prompt, sampling }) {
      const reply = await wholeReply(context, role, context.prompt(prompt, slots ? slots(record) : record), sampling);
      return 'dropped' in reply ? reply : keep(take(reply.text, record));
    },
  });
