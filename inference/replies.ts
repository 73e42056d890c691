/** What a server replies, checked by its schema. */
import { z } from 'zod';
import { faultOf } from '../schemas/faults.ts';
import { Unusable } from './transport.ts';

/** What other APIs call the three ends of an answer. */
const ends: { readonly [other: string]: string } = {
  ...Object.fromEntries(
    'end_turn eos eos_token end_of_text stop_sequence stop_token end complete completed'.split(' ').map((end) => [end, 'stop']),
  ),
  ...Object.fromEntries('max_tokens max_output_tokens model_length'.split(' ').map((end) => [end, 'length'])),
  ...Object.fromEntries(
    'safety recitation blocklist prohibited_content spii refusal guardrail_intervened'.split(' ').map((end) => [end, 'content_filter']),
  ),
};
const finished = z.preprocess(
  (end) => (typeof end === 'string' ? (ends[end.toLowerCase()] ?? (/^[A-Z_]+$/.test(end) ? end.toLowerCase() : end)) : end),
  z.enum(['stop', 'length', 'content_filter']),
);
export type End = z.infer<typeof finished>;
const usage = z.object({ prompt_tokens: z.int(), completion_tokens: z.int() });
export type Usage = z.infer<typeof usage>;
/** `lenient`: of a server that has counted tokens. It may leave them out of a reply: then they are estimated. */
const counted = <T extends z.ZodType>(choice: T) => {
  const choices = z.tuple([choice]);
  return { strict: z.object({ choices, usage }), lenient: z.object({ choices, usage: usage.optional().catch(undefined) }) };
};
export const chatReplies = counted(z.object({ message: z.object({ content: z.string().nullable() }), finish_reason: finished }));
export const textReplies = counted(z.object({ text: z.string(), finish_reason: finished }));

/** Throws Unusable for a reply that is not so. */
export function parsed<T>(value: unknown, schema: z.ZodType<T>, path: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const said = refusal.safeParse(value).data?.error.message;
  throw unusable(path, `${faultOf(result.error, value)}${said === undefined ? '' : `; it says: ${said}`}`, value);
}
const refusal = z.object({ error: z.object({ message: z.string() }) });
/** Characters of a reply that are kept. */
const KEPT = 2000;
export const unusable = (path: string, fault: string, reply: unknown) =>
  new Unusable(
    path,
    `The model server's reply to ${path} cannot be used: ${fault}. Serve the model with an engine that gives it.`,
    String(JSON.stringify(reply)).slice(0, KEPT),
  );

/** Asks again a few times where the reply is unusable: one odd reply among good ones says nothing of a server. */
export async function askedAgain<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++)
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof Unusable) || tries === ASKED) throw error;
    }
}
const ASKED = 3;
