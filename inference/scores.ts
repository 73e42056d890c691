/** Scores continuations of one prompt with as few requests as possible. */
import { z } from 'zod';
import type { TokenScore } from '../recipe/define.ts';
import { unusableReply } from './replies.ts';

const promptLogprobs = z.array(z.record(z.string(), z.object({ logprob: z.number() })).nullable());
const promptScoresReply = z.object({ choices: z.tuple([z.object({ prompt_logprobs: promptLogprobs })]) });
const nextTokenReply = z.object({
  choices: z.tuple([
    z.object({
      logprobs: z.object({ top_logprobs: z.tuple([z.record(z.string(), z.number())]) }),
      prompt_logprobs: promptLogprobs.nullish(),
    }),
  ]),
});
/** `logprobs` of a request: the most that vLLM returns. */
const TOP_LOGPROBS = 20;

/** Sends a completion request. */
export type Post = <T>(body: object, reply: z.ZodType<T>) => Promise<T>;
type Ids = readonly number[];
type Scores = readonly TokenScore[];

/** Returns the token scores of each of `all` after the tokens `before`. If the continuations differ only in their last token, one request
 *  returns that token's distribution; a continuation whose last token is not among the likeliest needs a request of its own. */
export async function scoreContinuations(post: Post, before: Ids, all: readonly Ids[]): Promise<readonly Scores[]> {
  const shared = commonPrefix(all);
  const known = shared && (await scoreLastTokens(post, before, shared, all));
  const scores: Scores[] = [];
  // One after the other: vLLM's CPU build crashes on several such requests at once under an adapter.
  for (const [at, after] of all.entries()) scores.push(known?.[at] ?? (await score(post, before, after)));
  return scores;
}

async function score(post: Post, before: Ids, after: Ids): Promise<Scores> {
  const body = { prompt: [...before, ...after], max_tokens: 1, prompt_logprobs: 0 }; // vLLM must generate at least one token
  const {
    choices: [choice],
  } = await post(body, promptScoresReply);
  return readScores(choice.prompt_logprobs, before.length, after);
}

async function scoreLastTokens(post: Post, before: Ids, shared: Ids, all: readonly Ids[]): Promise<readonly (Scores | undefined)[]> {
  const next = { max_tokens: 1, temperature: 0, logprobs: TOP_LOGPROBS, return_tokens_as_token_ids: true };
  const body = { prompt: [...before, ...shared], ...next, ...(shared.length > 0 && { prompt_logprobs: 0 }) };
  const {
    choices: [{ logprobs, prompt_logprobs }],
  } = await post(body, nextTokenReply);
  const beginning = shared.length === 0 ? [] : readScores(prompt_logprobs ?? [], before.length, shared);
  const [likeliest] = logprobs.top_logprobs;
  return all.map((after) => {
    const id = after.at(-1)!;
    const logprob = likeliest[`token_id:${id}`];
    return logprob === undefined ? undefined : [...beginning, { id, logprob, entropy: null }];
  });
}

/** The common prefix of continuations that have one more token each; undefined if they have none. */
function commonPrefix(all: readonly Ids[]): Ids | undefined {
  const [first = [], ...others] = all;
  const shared = first.slice(0, -1);
  const hasPrefix = (one: Ids) => one.length === first.length && shared.every((id, at) => one[at] === id);
  return others.length > 0 && first.length > 0 && others.every(hasPrefix) ? shared : undefined;
}

function readScores(logprobs: z.infer<typeof promptLogprobs>, from: number, ids: Ids): TokenScore[] {
  return ids.map((id, i) => {
    const logprob = logprobs[from + i]?.[id]?.logprob;
    if (logprob === undefined) throw unusableReply('/v1/completions', `choices.0.prompt_logprobs.${from + i}.${id} is missing`, logprobs);
    return { id, logprob, entropy: null };
  });
}
