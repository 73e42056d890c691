/** Defines three scorers of pairs; each uses the previous round's model. */
import { z } from 'zod';
import { drop, keep, operator, scorer, type Dropped, type Prompt } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { sampling } from '../../schemas/sampling.ts';
import { openingOf, opensRating, parseRating } from './parse.ts';
import { judged, pair } from './records.ts';
import { inSchema, wholeReply } from '../reply.ts';

/** A judgement with `schema: true`. */
const judgement = z.strictObject({ reasons: z.string(), score: z.literal([1, 2, 3, 4, 5]) });

/** The paper's judge: parses the rating from the model's reply, and samples again while a reply has none. A truncated reply has no
 *  rating, unless the prompt ends with `Score:`. */
export const rating = operator({
  version: 3,
  input: pair,
  output: judged,
  params: z.object({ prompts: z.object({ judge: registered }), sampling, attempts: z.int().min(1) }),
  roles: ['scorer'],
  capabilities: ['chat'],
  structured: true,
  calls: ({ attempts }) => attempts,
  async run(pair, context, { prompts, sampling, attempts }) {
    const prompt = context.prompt(prompts.judge, pair);
    const opening = openingOf(prompt);
    // after an opening such as `Score:` no JSON can follow
    const asked = inSchema(sampling, opening === '' ? judgement : null);
    let last: Dropped = drop('no-score');
    const judged = await context.attempts(attempts, async () => {
      const reply = await wholeReply(context, 'scorer', prompt, asked, { opening, mayBeCut: opensRating(opening) });
      const score = 'dropped' in reply ? undefined : parseRating(reply.text);
      last = 'dropped' in reply ? reply : drop('no-score', reply.text);
      return 'dropped' in reply || score === undefined ? undefined : { score, judgement: reply.text };
    });
    return judged === undefined ? last : keep({ ...pair, ...judged });
  },
});

const ratings = [1, 2, 3, 4, 5];

/** The expected rating: the mean of 1 to 5, weighted by the probability of each directly after `Score:`, without a rationale. */
export const expectedRating = scorer({
  version: 2,
  input: pair,
  output: judged,
  params: z.object({ prompts: z.object({ judge: registered }) }),
  role: 'scorer',
  ask(pair, context, { prompts }) {
    const prompt = beforeRating(context.prompt(prompts.judge, pair));
    return ratings.map((rating) => ({ prompt, continuation: ` ${rating}` }));
  },
  take(pair, answers) {
    const weights = answers.map(({ tokens }) => Math.exp(tokens.reduce((sum, { logprob }) => sum + logprob, 0)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const shares = weights.map((weight) => weight / total);
    if (!(total > 0)) return drop('no-score', `the ratings have probability ${total}`);
    const score = ratings.reduce((sum, rating, i) => sum + rating * shares[i]!, 0);
    return keep({ ...pair, score, judgement: ratings.map((rating, i) => `${rating}: ${shares[i]!.toFixed(4)}`).join(', ') });
  },
});
const beforeRating = (prompt: Prompt): Prompt => ('messages' in prompt ? { ...prompt, prefill: 'Score:' } : prompt);

/** The mean log-probability of the response given the instruction: nats per token, at most 0. */
export const likelihood = scorer({
  version: 1,
  input: pair,
  output: judged,
  params: z.object({ prompts: z.object({ respond: registered }) }),
  role: 'scorer',
  ask: (pair, context, { prompts }) => [{ prompt: context.prompt(prompts.respond, pair), continuation: pair.response }],
  take(pair, [answer]) {
    const tokens = answer?.tokens ?? [];
    if (tokens.length === 0) return drop('no-score', 'the response has no token');
    const sum = tokens.reduce((sum, { logprob }) => sum + logprob, 0);
    return keep({ ...pair, score: sum / tokens.length, judgement: `${sum.toFixed(4)} nats in ${tokens.length} tokens` });
  },
});
