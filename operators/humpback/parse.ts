/** Reading the judge (section 2.3, table 1): its last line is `Score: ` and the rating. */
import type { Prompt } from '../../recipe/define.ts';

const verdict = /\bscore:[\s*]*([1-5](?:\.\d+)?)[\s*.]*$/i;

/**
 * The rating, 1 to 5, that a judgement ends with; undefined where it ends with none. Only the end counts: models think aloud in
 * scores, and go on to write what they were not asked for.
 */
export function parseRating(judgement: string): number | undefined {
  const rating = Number(verdict.exec(judgement)?.[1]);
  return rating >= 1 && rating <= 5 ? rating : undefined;
}

/** What a prompt has already said of the judgement: the reply to one that ends with `Score:` is a bare number. */
export function openingOf(prompt: Prompt): string {
  if ('messages' in prompt) return prompt.prefill ?? '';
  return ('text' in prompt && /\bscore:\s*$/i.exec(prompt.text)?.[0]) || '';
}

/** Whether all that is left to say is the number, which stands at the beginning of a reply of any length. */
export const opensRating = (opening: string): boolean => /\bscore:\s*$/i.test(opening);
