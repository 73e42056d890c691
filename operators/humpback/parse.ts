/** Parses the judge's rating (section 2.3, table 1): the last line is `Score: ` and the rating. */
import type { Prompt } from '../../recipe/define.ts';
import { plainLines } from '../markup.ts';
import { stripReasoning } from '../strip-reasoning.ts';

const adverb = '(?:(?:so|thus|therefore|hence|then|overall|finally|in conclusion),?\\s+)?';
const of = '(?:(?:the|my|your|this|final|overall|total|quality|numerical|answer|response|resulting|assigned)\\s+){0,4}';
const scaleBeside = '(?:\\s*[(\\[](?:(?!\\d*[06-9]|\\d\\d)[^()\\[\\]]){0,40}[)\\]])?'; // (1-5)
const label = `${adverb}${of}(?:score|rating)${scaleBeside}`;
const colon = '(?:\\s+is)?\\s*(?:[:=|]|[-–—]\\s)\\s*';
const number = '[(\\[<\\s]*([1-5](?:\\.\\d+)?)(?![\\d.]*\\d)\\s*[)\\]>]*';
const scale =
  '(?:\\s*[(\\[]?\\s*(?:\\/|out\\s+of(?:\\s+an?|\\s+possible|\\s+maximum|\\s+total|\\s+of){0,3}|on\\s+a\\s+scale\\s+(?:of|from)\\s+1\\s*(?:to|-|–))\\s*(?:5|five)(?:\\.0+)?(?![\\d.]*\\d)\\s*[)\\]>]*)?';
const unit = '(?:\\s*(?:stars?|points?|分|点|점)(?!\\p{L})\\s*[)\\]>]*)?';
const rated = `${number}${scale}${unit}`;
const end = '[\\s.,;!。、)\\]>]*$';
/** A reason on the same line: a sentence, or a remark without other numbers that does not retract the rating. */
const reason =
  '(?:[.!;。!]\\s*(?=\\p{L})(?!.*\\b(?:score|rating)\\b.*\\d)|\\s+(?=(?:reason|reasoning|explanation|justification|rationale)s?\\s*:)|(?:\\s*[,(\\[|]|\\s+[-–—]+\\s|\\s*—)\\s*(?!\\s|or\\b|to\\b|and\\b|maybe\\b|perhaps\\b|possibly\\b|if\\b|unless\\b|would\\b|when\\b|minus\\b|plus\\b|max)(?=\\p{L})(?!.*\\d))';

const bareLabel = new RegExp(`^${label}(?:\\s+is)?\\s*[:=|]?$`, 'iu');
const verdictLine = new RegExp(`^[(\\[<]?(?:${label}(?:${colon}|\\s+)${rated}(?:${end})|${label}${colon}${rated}${reason})`, 'iu');
/** After the end of a sentence, a colon or a dash. A number inside a sentence is not a rating. */
const verdictBehind = new RegExp(`(?:[.!?:;。；)\\]…|>→]\\s*|\\s[-–—]+\\s+|—\\s*)[(\\[<]?${label}${colon}${rated}${end}`, 'iu');
const ratingLine = new RegExp(`^${rated}${end}`, 'iu');
const mention = new RegExp(`\\b(?:score|rating)${scaleBeside}${colon}${number}`, 'giu');
/** The next turn, which a model makes up when it runs on. */
const nextTurn = /^(?:instruction|question|answer|candidate answer|user|human|assistant)\s*:/i;

/** Returns the rating, 1 to 5, in a judgement; undefined if there is none, or if several disagree. A rating has a line of its own: the
 *  last line counts, because models consider scores in their reasoning, or else the only such line. JSON and tags with a score count
 *  too. A number inside a sentence, a range, or a number on another scale is not a rating. */
export function parseRating(judgement: string): number | undefined {
  const text = stripReasoning(judgement)?.replace(/<(score|rating)>([^<>\n]*)<\/\1>/gi, '\nScore: $2\n');
  if (text === undefined) return undefined;
  const lines = joinSplitLabels(plainLines(text));
  const verdicts = lines.map((line) => verdictLine.exec(line));
  const first = verdicts.findIndex((verdict) => verdict !== null);
  if (first !== -1 && lines.some((line, at) => at > first && nextTurn.test(line))) return undefined;
  const last = finalRating(lines);
  if (last !== undefined) return last;
  return ratingInJson(text) ?? agreedRating(verdicts.flatMap((verdict, at) => (verdict && standsAlone(lines, at) ? valueOf(verdict) : [])));
}

/** Joins a label and a number on the next line. */
const joinSplitLabels = (lines: readonly string[]): string[] =>
  lines.flatMap((line, at) => {
    if (at > 0 && bareLabel.test(lines[at - 1]!) && ratingLine.test(line)) return [];
    const next = lines[at + 1];
    return next !== undefined && bareLabel.test(line) && ratingLine.test(next) ? `${line.replace(/\s*[:=|]?$/, '')}: ${next}` : line;
  });

/** Returns the rating at the end of a judgement. */
function finalRating(lines: readonly string[]): number | undefined {
  const line = lines.at(-1) ?? '';
  const own = verdictLine.exec(line);
  const verdict = own?.[1] === undefined ? verdictBehind.exec(line) : own;
  if (!verdict) return undefined;
  const text = lines.join('\n');
  const mentions = [...text.matchAll(mention)];
  const before = mentions.at(-2);
  // two ratings side by side are a choice between them
  if (
    before &&
    Number(before[1]) !== Number(verdict[1]) &&
    !/\p{L}/u.test(text.slice(before.index + before[0].length, mentions.at(-1)!.index))
  )
    return undefined;
  return valueOf(verdict)[0];
}

/** The line is not in the middle of a sentence. */
const standsAlone = (lines: readonly string[], at: number): boolean => !/^\p{Ll}/u.test(lines[at + 1] ?? '');

function ratingInJson(text: string): number | undefined {
  const ratings = [text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1), ...(text.match(/\{[^{}]*\}/g) ?? [])].flatMap((one) => {
    const entries = jsonEntries(one);
    const [, rating] = entries.find(([key]) => /^(?:final|overall|total)?[ _-]?(?:score|rating)$/i.test(key)) ?? [];
    const scale = entries.find(([key]) => /max|scale|out.?of|range/i.test(key))?.[1] ?? '5';
    const verdict = /^(?:5|five|1\s*(?:-|to)\s*5)$/i.test(scalar(scale)) && ratingLine.exec(scalar(rating));
    return verdict ? valueOf(verdict) : [];
  });
  return agreedRating(ratings);
}
const scalar = (value: unknown): string => (typeof value === 'string' || typeof value === 'number' ? String(value) : '');
function jsonEntries(text: string): [string, unknown][] {
  try {
    return Object.entries(JSON.parse(text) as object);
  } catch {
    return [];
  }
}

const valueOf = (verdict: RegExpExecArray): number[] => {
  const rating = Number(verdict[1] ?? verdict[2]);
  return rating >= 1 && rating <= 5 ? [rating] : [];
};
const agreedRating = (ratings: readonly number[]): number | undefined =>
  ratings.every((rating) => rating === ratings[0]) ? ratings[0] : undefined;

/** Returns the beginning of the reply that the prompt contains: after a prompt that ends with `Score:`, the reply is a bare number. */
export function openingOf(prompt: Prompt): string {
  if ('messages' in prompt) return prompt.prefill ?? '';
  return ('text' in prompt && /\bscore:\s*$/i.exec(prompt.text)?.[0]) || '';
}

/** Whether the reply needs to begin with the number alone, so that its length does not matter. */
export const opensRating = (opening: string): boolean => /\bscore:\s*$/i.test(opening);
