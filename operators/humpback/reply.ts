import type { Context, Prompt, Reply, Sampling } from '../../recipe/index.ts';

/** A reply to a prompt of any kind: a chat, unless the prompt opens the reply or is raw text. */
export const reply = <R extends string>({ chat, complete }: Context<R>, role: R, prompt: Prompt, sampling: Sampling): Promise<Reply> =>
  'messages' in prompt && prompt.prefill === undefined ? chat(role, prompt.messages, sampling) : complete(role, prompt, sampling);
