/** Builds the chat turns of prompts and of training rows. */
import type { Chat, Message } from '../recipe/index.ts';

export const user = (content: string): readonly Message[] => [{ role: 'user', content }];

/** A request after examples of such requests with their replies. The examples are turns, which even a small model goes on with; `rule` stands
 *  before the first. */
export function afterExamples(
  rule: string,
  examples: readonly (readonly [request: string, reply: string])[],
  request: string,
): readonly Message[] {
  const [first, ...others] = [...examples.flatMap(([example, reply]) => withReply(user(example), reply).messages), ...user(request)];
  return [{ ...first!, content: `${rule}\n\n${first!.content}` }, ...others];
}

/** A training row: the prompt's turns, and the reply as the assistant's turn. */
export const withReply = (prompt: readonly Message[], reply: string): Chat => ({
  messages: [...prompt, { role: 'assistant', content: reply }],
});
