/** Fields of a request that hold its prompt. */
import type { Message } from '../recipe/api.ts';
import type { Prompt, Sampling } from '../recipe/define.ts';

/** The most tokens that a chat template adds: in total, and for each message. If this estimate does not fit, the server counts. */
const MAX_TEMPLATE_TOKENS = { itself: 64, message: 16 };

export type TemplateKwargs = Sampling['chatTemplateKwargs'];
interface ChatFields {
  readonly messages: readonly Message[];
  readonly add_generation_prompt?: false;
  readonly continue_final_message?: true;
  readonly chat_template_kwargs?: NonNullable<TemplateKwargs>;
}

/** A minimal prompt of the same kind. */
export function minimalPrompt(prompt: Prompt): Prompt {
  if (!isChat(prompt)) return { text: 'A' };
  return { messages: [{ role: 'user', content: 'A' }], ...(prompt.prefill !== undefined && { prefill: 'A' }) };
}

export const isChat = (prompt: Prompt): prompt is Extract<Prompt, { messages: unknown }> => 'messages' in prompt;
export const contentOf = (prompt: Exclude<Prompt, { messages: unknown }>) => ('text' in prompt ? prompt.text : prompt.tokens);

/** With `prefill` the server continues the assistant's turn instead of answering it. */
export function chatFields({ messages, prefill }: Extract<Prompt, { messages: unknown }>, kwargs?: TemplateKwargs): ChatFields {
  const more = kwargs === undefined ? {} : { chat_template_kwargs: kwargs };
  if (prefill === undefined) return { messages, ...more };
  const opened = { role: 'assistant', content: prefill } as const;
  return { messages: [...messages, opened], add_generation_prompt: false, continue_final_message: true, ...more };
}

/** An upper bound: a token has at least one byte. */
export function maxTokensOf(prompt: Prompt): number {
  if ('tokens' in prompt) return prompt.tokens.length;
  if ('text' in prompt) return Buffer.byteLength(prompt.text) + MAX_TEMPLATE_TOKENS.itself;
  const { messages } = chatFields(prompt);
  return messages.reduce((sum, { content }) => sum + Buffer.byteLength(content) + MAX_TEMPLATE_TOKENS.message, MAX_TEMPLATE_TOKENS.itself);
}
