/** How likely continuations of one prompt are, by as few requests as give it. */
import { z } from 'zod';
import type { TokenScore } from '../recipe/define.ts';
import { unusable } from './replies.ts';

const promptLogprobs = z.array(z.record(z.string(), z.object({ logprob: z.number() })).nullable());
const scored = z.object({ choices: z.tuple([z.object({ prompt_logprobs: promptLogprobs })]) });
const compared = z.object({
  choices: z.tuple([
    z.object({
      logprobs: z.object({ top_logprobs: z.tuple([z.record(z.string(), z.number())]) }),
      prompt_logprobs: promptLogprobs.nullish(),
    }),
  ]),
});
/** Of the tokens that may come next, so many of the likeliest: as many as vLLM names. */
const TOP = 20;

/** Sends a request for a completion. */
export type Post = <T>(body: object, reply: z.ZodType<T>) => Promise<T>;
type Ids = readonly number[];
type Scores = readonly TokenScore[];

/** Of each of `all`, the scores of its tokens after those of `before`. Those that differ in their last token alone are read off the
 *  distribution of that token, by one request; one that is not among the likeliest, and any other, is a request of its own. */
export async function scoresAfter(post: Post, before: Ids, all: readonly Ids[]): Promise<readonly Scores[]> {
  const shared = sharedBy(all);
  const known = shared && (await compare(post, before, shared, all));
  const scores: Scores[] = [];
  // One after the other: vLLM's build for CPUs dies of several such requests at once under an adapter.
  for (const [at, after] of all.entries()) scores.push(known?.[at] ?? (await score(post, before, after)));
  return scores;
}

async function score(post: Post, before: Ids, after: Ids): Promise<Scores> {
  const body = { prompt: [...before, ...after], max_tokens: 1, prompt_logprobs: 0 }; // vLLM wants to write one
  const {
    choices: [choice],
  } = await post(body, scored);
  return scoresIn(choice.prompt_logprobs, before.length, after);
}

async function compare(post: Post, before: Ids, shared: Ids, all: readonly Ids[]): Promise<readonly (Scores | undefined)[]> {
  const next = { max_tokens: 1, temperature: 0, logprobs: TOP, return_tokens_as_token_ids: true };
  const body = { prompt: [...before, ...shared], ...next, ...(shared.length > 0 && { prompt_logprobs: 0 }) };
  const {
    choices: [{ logprobs, prompt_logprobs }],
  } = await post(body, compared);
  const beginning = shared.length === 0 ? [] : scoresIn(prompt_logprobs ?? [], before.length, shared);
  const [likeliest] = logprobs.top_logprobs;
  return all.map((after) => {
    const id = after.at(-1)!;
    const logprob = likeliest[`token_id:${id}`];
    return logprob === undefined ? undefined : [...beginning, { id, logprob, entropy: null }];
  });
}

/** What several texts begin with that have one token more each; undefined: they are not so. */
function sharedBy(all: readonly Ids[]): Ids | undefined {
  const [first = [], ...others] = all;
  const shared = first.slice(0, -1);
  const alike = (one: Ids) => one.length === first.length && shared.every((id, at) => one[at] === id);
  return others.length > 0 && first.length > 0 && others.every(alike) ? shared : undefined;
}

function scoresIn(logprobs: z.infer<typeof promptLogprobs>, from: number, ids: Ids): TokenScore[] {
  return ids.map((id, i) => {
    const logprob = logprobs[from + i]?.[id]?.logprob;
    if (logprob === undefined) throw unusable('/v1/completions', `choices.0.prompt_logprobs.${from + i}.${id} is missing`, logprobs);
    return { id, logprob, entropy: null };
  });
}
