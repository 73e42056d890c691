/** Asks a few fixed questions to check whether a server still answers like the model that was imported. */
import type { Canary } from '../schemas/store.ts';
import { distance } from 'fastest-levenshtein';
import type { ModelClient } from './client.ts';
import { retryUnusable } from './replies.ts';

const questions = [
  'Write one sentence about the sea.',
  'Name three cities, and what each is known for.',
  'What is 17 times 23? Say how you found it.',
  'Translate into French: The old bridge is closed in winter.',
  'Go on with this story: The last train had left, and',
  'Which is heavier, a litre of oil or a litre of water, and why?',
];

/** Returns the greedy answers of a model, in the order of the questions. */
export function askCanary(client: ModelClient, model: string, signal: AbortSignal, asked: readonly string[] = questions): Promise<Canary> {
  return Promise.all(
    asked.map(async (question, i) => {
      const messages = [{ role: 'user', content: question }] as const;
      const options = { seed: 1, requestId: `canary/${i}`, signal };
      const { reply } = await retryUnusable(() => client.chat(model, messages, { temperature: 0, maxTokens: 32 }, options));
      return { question, answer: reply.text };
    }),
  );
}

/** The mean edit distance between answers, as a share of their length. 0: equal, 1: nothing in common. */
export function canaryDifference(before: Canary, now: Canary): number {
  const shares = before.map(({ answer }, i) => distance(answer, now[i]!.answer) / Math.max(1, answer.length, now[i]!.answer.length));
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}
