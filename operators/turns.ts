/** Builds the chat turns of prompts and of training rows. */
import type { Chat, Message } from '../recipe/index.ts';

export const user = (content: string): readonly Message[] => [{ role: 'user', content }];

/** A training row: the prompt's turns, and the reply as the assistant's turn. */
export const withReply = (prompt: readonly Message[], reply: string): Chat => ({
  messages: [...prompt, { role: 'assistant', content: reply }],
});
