/** Implements the rules by which Kun drops instructions, responses and verdicts (release code). Lengths are in code points, so a Han
 *  character counts as one. */

const foldCase = (text: string): string => text.normalize('NFKC').toLowerCase();

/** Returns the first keyword in the text. A Latin keyword matches whole words, singular or plural; a Han keyword matches anywhere,
 *  because Chinese has no spaces. Case and width are ignored. */
export const findKeyword = (text: string, words: readonly string[]): string | undefined =>
  words.find((word) => {
    const own = foldCase(word);
    if (/\p{Script=Han}/u.test(own)) return foldCase(text).includes(own);
    return new RegExp(
      `(?<![\\p{Script=Latin}\\p{N}])${own.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?:s|es)?(?![\\p{Script=Latin}\\p{N}])`,
      'u',
    ).test(foldCase(text));
  });

/** Cuts the instruction at a run of five blanks. If only its first line repeats, returns that line; if another line repeats, returns
 *  undefined. */
export function tidyInstruction(instruction: string): string | undefined {
  const [own] = instruction.trim().split(/\s{5,}/u);
  const lines = own!.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim()]));
  const again = lines.filter((line, at) => lines.indexOf(line) !== at);
  if (again.length === 0) return own;
  return again.every((line) => line === lines[0]) ? lines[0] : undefined;
}

/** Maximum characters of a repeated unit, and how often it may repeat in a row. */
const MAX_UNIT_CHARS = 50;
const MAX_REPEATS = 5;
/** Returns a unit that contains a letter and stands more than five times in a row, anywhere in the text. */
export function findRepetition(text: string): string | undefined {
  const chars = Array.from(text);
  for (let unit = 1; unit <= Math.min(MAX_UNIT_CHARS, chars.length / (MAX_REPEATS + 1)); unit++) {
    let matching = 0;
    for (let at = unit; at < chars.length; at++) {
      matching = chars[at] === chars[at - unit] ? matching + 1 : 0;
      if (matching < unit * MAX_REPEATS) continue;
      const found = chars.slice(at - unit + 1, at + 1).join('');
      if (/\p{L}/u.test(found)) return found;
    }
  }
  return undefined;
}

/** Whether a verdict has the good tag; undefined if it has both tags or neither. */
export function parseVerdict(verdict: string): boolean | undefined {
  const [good, bad] = [/【\s*好\s*】|\[\s*good\s*\]/iu, /【\s*差\s*】|\[\s*bad\s*\]/iu].map((tag) => tag.test(verdict));
  return good === bad ? undefined : good;
}
