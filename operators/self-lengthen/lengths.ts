/** Demands of a length, and how well a text meets one (LonGen of Self-Lengthen, 2410.23933). */
import { z } from 'zod';
import type { Demands } from '../../schemas/recipes/self-lengthen.ts';

const words = z.int().min(1);
/** In words: about so many, from so many to so many, at least so many, or at most so many. */
export const lengthDemand = z.union([
  z.strictObject({ about: words }),
  z.strictObject({ range: z.tuple([words, words]).refine(([low, high]) => low <= high, 'the first number is above the second') }),
  z.strictObject({ above: words }),
  z.strictObject({ below: words }),
]);
export type LengthDemand = z.infer<typeof lengthDemand>;
export type DemandKind = keyof Demands['kinds'];

export const kindOf = (demand: LengthDemand): DemandKind => Object.keys(demand)[0] as DemandKind;
const numbersOf = (demand: LengthDemand): readonly number[] => Object.values(demand).flat() as number[];

/** The interval of words that meets a demand. */
function intervalOf(demand: LengthDemand): readonly [low: number, high: number] {
  if ('about' in demand) return [(4 * demand.about) / 5, (6 * demand.about) / 5];
  if ('above' in demand) return [demand.above, (3 * demand.above) / 2];
  if ('below' in demand) return [demand.below / 2, demand.below];
  return demand.range;
}

/** Scores a number of words from 0 to 1: 1 inside the demand's interval; below it the score reaches 0 at half of its lower end, and above
 *  it at one and a half times its upper end. */
export function lengthScore(demand: LengthDemand, words: number): number {
  const [low, high] = intervalOf(demand);
  if (words < low) return Math.max((2 * words) / low - 1, 0);
  return words > high ? Math.max(3 - (2 * words) / high, 0) : 1;
}

/** Multiples for demands; the first two are the code's. */
const STEPS = [2000, 1000, 500, 100, 10, 1];

/** Returns a demand, in multiples of 2,000 or 1,000, that a text of so many words meets. A finer multiple is used if it would not. */
export function demandFor(words: number, { kinds, coarse }: Demands, random: () => number): LengthDemand {
  const kind = pickKind(kinds, random());
  const steps = random() < coarse ? STEPS : STEPS.slice(1);
  const candidates = steps.map((step) => demandOf(kind, words / step, step));
  return candidates.find((demand) => Math.min(...numbersOf(demand)) > 0 && lengthScore(demand, words) === 1)!; // the finest always is
}

function demandOf(kind: DemandKind, steps: number, step: number): LengthDemand {
  const [low, high] = [Math.floor(steps) * step, Math.ceil(steps) * step];
  if (kind === 'about') return { about: Math.round(steps) * step };
  if (kind === 'above') return { above: low };
  return kind === 'below' ? { below: high } : { range: [low, low + step] };
}

function pickKind(kinds: Demands['kinds'], lot: number): DemandKind {
  const entries = Object.entries(kinds) as [DemandKind, number][];
  let left = lot * entries.reduce((sum, [, share]) => sum + share, 0);
  return (entries.find(([, share]) => (left -= share) < 0) ?? entries.findLast(([, share]) => share > 0)!)[0];
}

/** How an instruction says a demand: the words, and the numbers in them. */
export function phraseOf(
  demand: LengthDemand,
  language: 'english' | 'chinese' | 'spelled',
): { phrase: string; numbers: readonly string[] } {
  const numbers = numbersOf(demand).map((number) => (language === 'spelled' ? chineseNumeral(number) : String(number)));
  const [first, second] = numbers;
  const english = {
    about: `about ${first} words`,
    range: `${first} to ${second} words`,
    above: `at least ${first} words`,
    below: `at most ${first} words`,
  };
  const chinese = { about: `${first}字左右`, range: `${first}到${second}字`, above: `不少于${first}字`, below: `不超过${first}字` };
  return { phrase: (language === 'english' ? english : chinese)[kindOf(demand)], numbers };
}

const DIGITS = '零一二三四五六七八九';
const UNITS = ['', '十', '百', '千'];

/** Spells a whole number from 1 to 99,999,999 in Chinese numerals: 2500 is 二千五百. */
export function chineseNumeral(number: number): string {
  if (number >= 10_000) {
    const rest = number % 10_000;
    return `${chineseNumeral(Math.floor(number / 10_000))}万${rest === 0 ? '' : (rest < 1000 ? '零' : '') + chineseNumeral(rest)}`;
  }
  const digits = Array.from(String(number), (digit, at) =>
    digit === '0' ? '零' : DIGITS[Number(digit)]! + UNITS[String(number).length - 1 - at]!,
  );
  return digits.join('').replace(/零+/g, '零').replace(/零$/, '').replace(/^一十/, '十');
}

/** Returns whether a text has all of these numbers. Separators of thousands do not count, and 两 is 二. */
export function mentions(text: string, numbers: readonly string[]): boolean {
  const plain = text
    .normalize('NFKC')
    .replace(/(?<=\d),(?=\d{3})/g, '')
    .replaceAll('两', '二');
  const numeral = `[\\d${DIGITS}十百千万]`;
  return numbers.every((number) => new RegExp(`(?<!${numeral})${number}(?!${numeral})`).test(plain));
}
