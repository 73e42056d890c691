/** Makes an operator context whose models give these replies in order and record their requests. */
import type { Context, Prompt, Reply } from '../../recipe/index.ts';

export function playing(prompt: Prompt, replies: readonly (string | Reply)[]) {
  const asked: string[] = [];
  const next = (how: string) => {
    const reply = replies[asked.push(how) - 1]!;
    return Promise.resolve<Reply>(typeof reply === 'string' ? { text: reply, finish: 'stop' } : reply);
  };
  const context: Context<string> = {
    chat: () => next('chat'),
    complete: () => next('complete'),
    score: () => Promise.reject(new Error('not asked for here')),
    async attempts(limit, body) {
      for (let attempt = 0; attempt < limit; attempt++) {
        const answer = await body(attempt);
        if (answer !== undefined) return answer;
      }
      return undefined;
    },
    prompt: () => prompt,
    random: () => Math.random,
    signal: new AbortController().signal,
  };
  return { context, asked };
}
