/** Schemas of a server's replies, and the retry of unusable ones. */
import { z } from 'zod';
import { faultOf } from '../schemas/faults.ts';
import { Unusable } from './transport.ts';

/** Other names for the three finish reasons, as other APIs use them. */
const finishReasonAliases: { readonly [other: string]: string } = {
  ...Object.fromEntries(
    'end_turn eos eos_token end_of_text stop_sequence stop_token end complete completed'.split(' ').map((end) => [end, 'stop']),
  ),
  ...Object.fromEntries('max_tokens max_output_tokens model_length'.split(' ').map((end) => [end, 'length'])),
  ...Object.fromEntries(
    'safety recitation blocklist prohibited_content spii refusal guardrail_intervened'.split(' ').map((end) => [end, 'content_filter']),
  ),
};
const finishReason = z.preprocess(
  (end) => (typeof end === 'string' ? (finishReasonAliases[end.toLowerCase()] ?? (/^[A-Z_]+$/.test(end) ? end.toLowerCase() : end)) : end),
  z.enum(['stop', 'length', 'content_filter']),
);
export type FinishReason = z.infer<typeof finishReason>;
const usage = z.object({ prompt_tokens: z.int(), completion_tokens: z.int() });
export type Usage = z.infer<typeof usage>;
/** `lenient` is for servers that have reported tokens before. If one reply lacks them, the client estimates them. */
const withUsage = <T extends z.ZodType>(choice: T) => {
  const choices = z.tuple([choice]);
  return { strict: z.object({ choices, usage }), lenient: z.object({ choices, usage: usage.optional().catch(undefined) }) };
};
/** Some servers give content as parts: texts, and what the model thought. */
const part = z.object({ type: z.string(), text: z.string().optional() });
const content = z.union([z.string(), z.array(part)]).nullish();
/** Servers return reasoning apart under one of two names. A model that was cut off while it thought has no content. */
const message = z
  .object({ content, reasoning_content: z.string().nullish(), reasoning: z.string().nullish() })
  .transform(({ content, reasoning_content, reasoning }) => ({
    text:
      typeof content === 'string' ? content : (content ?? []).map(({ type, text = '' }) => (type.endsWith('text') ? text : '')).join(''),
    reasoning: reasoning_content ?? reasoning ?? '',
  }));
export const chatReplies = withUsage(z.object({ message, finish_reason: finishReason }));
export const textReplies = withUsage(z.object({ text: z.string(), finish_reason: finishReason }));

/** Throws Unusable if the reply does not match the schema. */
export function parseReply<T>(value: unknown, schema: z.ZodType<T>, path: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const serverMessage = errorReply.safeParse(value).data?.error.message;
  throw unusableReply(path, `${faultOf(result.error, value)}${serverMessage === undefined ? '' : `; it says: ${serverMessage}`}`, value);
}
const errorReply = z.object({ error: z.object({ message: z.string() }) });
/** Characters of an unusable reply that the error keeps. */
const MAX_REPLY_CHARACTERS = 2000;
export const unusableReply = (path: string, fault: string, reply: unknown) =>
  new Unusable(
    path,
    `The model server's reply to ${path} cannot be used: ${fault}. Serve the model with an engine that gives it.`,
    String(JSON.stringify(reply)).slice(0, MAX_REPLY_CHARACTERS),
  );

/** Retries a few times if the reply is unusable: one odd reply among good ones says nothing about the server. */
export async function retryUnusable<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++)
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof Unusable) || tries === MAX_TRIES) throw error;
    }
}
const MAX_TRIES = 3;
