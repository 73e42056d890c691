/** Implements the extension of a draft in two stages (C of Self-Lengthen, 2410.23933). */
import { z } from 'zod';
import { drop, keep, operator, type Context, type Dropped, type Prompt } from '../../recipe/index.ts';
import { BackspinError } from '../../schemas/errors.ts';
import { extension, repetition } from '../../schemas/recipes/self-lengthen.ts';
import { wholeReply } from '../reply.ts';
import { extended, piece } from './records.ts';
import { count, firstKept, requests, stochastic } from './requests.ts';
import { checkResponse, countWords, paragraphsOf } from './text.ts';

const params = z.object({ ...requests('extend'), attempts: z.object({ extend: count }), extension, repetition });
type Params = z.infer<typeof params>;

/** C: an attempt extends the text `iterations` times, each time from the longest so far, and succeeds if it is then long enough. */
export const lengthen = operator({
  version: 1,
  input: piece,
  output: extended,
  params,
  roles: ['extender'],
  capabilities: ['chat', 'prefill'],
  stochastic,
  calls: ({ attempts, extension }) => 2 * extension.iterations * attempts.extend,
  run: ({ instruction, text: initial, words: before }, context, params) =>
    firstKept(context, params.attempts.extend, async () => {
      let best = initial;
      let failure: Dropped | undefined;
      for (let iteration = 0; iteration < params.extension.iterations; iteration++) {
        const longer = await extendOnce(context, params, instruction, best);
        if ('dropped' in longer) failure = longer;
        else best = longer.text;
      }
      const words = countWords(best);
      if (words > params.extension.gain * before) return keep({ instruction, text: best, words, initial });
      return best === initial && failure ? failure : drop('not-longer', `${words} words, and the draft has ${before}`);
    }),
});

/** The first stage writes from the first half of the text. The second writes from all of it, and goes on after two thirds of what the
 *  first wrote, which sets how detailed it is. Drops what is no longer than `text`. */
async function extendOnce(
  context: Context<'extender'>,
  { prompts, sampling, repetition }: Params,
  instruction: string,
  text: string,
): Promise<{ readonly text: string } | Dropped> {
  const request = (outline: string, opening: string) => {
    const prompt = openReply(context.prompt(prompts.extend, { instruction, outline }), opening, prompts.extend);
    return wholeReply(context, 'extender', prompt, sampling.extend, { opening });
  };
  const first = await request(firstHalf(text), '');
  if ('dropped' in first) return first;
  const prefix = twoThirds(first.text);
  const whole = await request(text, prefix);
  if ('dropped' in whole) return whole;
  const rest = whole.text.slice(prefix.length);
  const longer = /^\s/.test(rest) ? whole.text : `${prefix}\n\n${rest}`; // the code joins them without a break
  const fault = checkResponse(longer, repetition);
  if (fault) return drop(fault, longer);
  return countWords(longer) > countWords(text) ? { text: longer } : drop('not-longer', longer);
}

/** The code leaves nothing of a text of one paragraph, here and below. */
function firstHalf(text: string): string {
  const { parts, separator } = paragraphsOf(text, 3);
  return parts.slice(0, Math.max(1, Math.floor(parts.length / 2))).join(separator);
}
function twoThirds(text: string): string {
  const { parts, separator } = paragraphsOf(text, 2);
  return parts.slice(0, Math.max(1, Math.floor((2 * parts.length) / 3))).join(separator);
}

function openReply(prompt: Prompt, opening: string, name: string): Prompt {
  if (opening === '') return prompt;
  if ('messages' in prompt) return { ...prompt, prefill: opening };
  throw new BackspinError(
    'ConfigError',
    `The prompt ${name} gives no messages; an extension opens the reply to them: let it return messages.`,
  );
}
