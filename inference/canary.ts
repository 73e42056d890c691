/** A few questions asked again and again: whether a server still answers as the model that was declared. */
import type { Canary } from '../schemas/store.ts';
import { distance } from 'fastest-levenshtein';
import type { ModelClient } from './client.ts';
import { askedAgain } from './replies.ts';

const questions = [
  'Write one sentence about the sea.',
  'Name three cities, and what each is known for.',
  'What is 17 times 23? Say how you found it.',
  'Translate into French: The old bridge is closed in winter.',
  'Go on with this story: The last train had left, and',
  'Which is heavier, a litre of oil or a litre of water, and why?',
];

/** The greedy answers of a model, in the order of the questions. */
export function askCanary(client: ModelClient, model: string, signal: AbortSignal, asked: readonly string[] = questions): Promise<Canary> {
  return Promise.all(
    asked.map(async (question, i) => {
      const messages = [{ role: 'user', content: question }] as const;
      const ask = { seed: 1, requestId: `canary/${i}`, signal };
      const { reply } = await askedAgain(() => client.chat(model, messages, { temperature: 0, maxTokens: 32 }, ask));
      return { question, answer: reply.text };
    }),
  );
}

/** The share of the text that differs: edits by characters, the mean over the answers. 0: none, 1: all. */
export function difference(before: Canary, now: Canary): number {
  const shares = before.map(({ answer }, i) => distance(answer, now[i]!.answer) / Math.max(1, answer.length, now[i]!.answer.length));
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}
