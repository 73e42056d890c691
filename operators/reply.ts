/** What models say, as the operators of several recipes take it. */
import { drop, keep, type Context, type Outcome, type Prompt, type Reply, type Sampling } from '../recipe/index.ts';

/** A reply to a prompt of any kind: a chat, unless the prompt opens the reply or is raw text. */
export const reply = <R extends string>({ chat, complete }: Context<R>, role: R, prompt: Prompt, sampling: Sampling): Promise<Reply> =>
  'messages' in prompt && prompt.prefill === undefined ? chat(role, prompt.messages, sampling) : complete(role, prompt, sampling);

/** The record that `of` makes of a reply, if that came to its end and says something. */
export async function said<R extends string, T>(
  context: Context<R>,
  role: R,
  prompt: Prompt,
  sampling: Sampling,
  of: (text: string) => T,
): Promise<Outcome<T>> {
  const { text, finish } = await reply(context, role, prompt, sampling);
  if (finish === 'length') return drop('truncated', text);
  return text.trim() === '' ? drop('empty') : keep(of(text.trim()));
}
