/** Schemas of a server's replies, and the retry of unusable ones. */
import { z } from 'zod';
import { faultOf } from '../schemas/faults.ts';
import { Unusable } from './transport.ts';

/** Other names for the three finish reasons, as other APIs use them. */
const names: Readonly<Record<'stop' | 'length' | 'content_filter', string>> = {
  stop: 'end_turn eos eos_token end_of_text endoftext stop_sequence stop_token stop_criteria_met end complete completed finish finished',
  length: 'max_tokens max_output_tokens max_length token_limit model_length model_context_window_exceeded incomplete repetition',
  content_filter:
    'safety recitation blocklist prohibited_content spii refusal guardrail_intervened content_filtered content_moderation error_toxic',
};
const finishReasonAliases = new Map(Object.entries(names).flatMap(([ours, theirs]) => theirs.split(' ').map((end) => [end, ours])));
const finishReason = z.preprocess(
  (end) =>
    typeof end === 'string' ? (finishReasonAliases.get(end.toLowerCase()) ?? (/^[A-Z_]+$/.test(end) ? end.toLowerCase() : end)) : end,
  z.enum(['stop', 'length', 'content_filter']),
);
export type FinishReason = z.infer<typeof finishReason>;
const count = z.int().nullish().catch(undefined);
/** A server need not count its tokens: the client then estimates them. */
const usage = z.object({ prompt_tokens: count, completion_tokens: count }).nullish().catch(undefined);
export type Usage = z.infer<typeof usage>;
const replyOf = <T extends z.ZodType>(choice: T) => z.object({ choices: z.tuple([choice]).rest(z.unknown()), usage });
/** Some servers give content as parts: texts, and what the model thought. */
const part = z.object({ type: z.string(), text: z.string().nullish(), thinking: z.unknown().optional() });
const parts = z.array(z.union([z.string().transform((text) => ({ type: 'text', text, thinking: undefined })), part]));
const content = z.union([z.string().transform((text) => [{ type: 'text', text, thinking: undefined }]), parts]).nullish();
const thought = z.string().nullish().catch(undefined);
/** Servers return reasoning apart under one of two names, or as parts. A model that was cut off while it thought has no content. A refusal
 *  stands in the place of the content. */
const message = z
  .object({ content, reasoning_content: thought, reasoning: thought, refusal: thought })
  .transform(({ content, reasoning_content, reasoning, refusal }) => {
    const text = (content ?? []).map(({ type, text }) => (type.endsWith('text') ? (text ?? '') : '')).join('');
    const thoughts = (content ?? []).map(({ thinking }) => thoughtIn(thinking)).join('');
    return { text, reasoning: reasoning_content || reasoning || thoughts, refused: text === '' && Boolean(refusal) };
  });
/** What the model thought, from a part of its content: a text, or parts of its own. */
const thoughtIn = (thinking: unknown): string =>
  typeof thinking === 'string' ? thinking : (parts.safeParse(thinking).data ?? []).map(({ text }) => text ?? '').join('');
export const chatReply = replyOf(
  z
    .object({ message, finish_reason: finishReason })
    .transform(({ message, finish_reason }) => ({ message, finish_reason: message.refused ? ('content_filter' as const) : finish_reason })),
);
export const textReply = replyOf(z.object({ text: z.string().nullish(), finish_reason: finishReason }));

/** Throws Unusable if the reply does not match the schema. */
export function parseReply<T>(value: unknown, schema: z.ZodType<T>, path: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const serverMessage = errorReply.safeParse(value).data;
  throw unusableReply(path, `${faultOf(result.error, value)}${serverMessage === undefined ? '' : `; it says: ${serverMessage}`}`, value);
}
const errorReply = z.union([
  z
    .object({ error: z.union([z.string(), z.object({ message: z.string() }).transform(({ message }) => message)]) })
    .transform(({ error }) => error),
  z.object({ object: z.literal('error'), message: z.string() }).transform(({ message }) => message),
]);
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
