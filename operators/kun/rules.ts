/** The rules by which Kun drops instructions, responses and verdicts (release code). Lengths are in characters as a reader counts them:
 *  a Han character is one, whatever its encoding. */

const folded = (text: string): string => text.normalize('NFKC').toLowerCase();

/** The first of the words that the text has. One in Latin letters or digits is a whole word, singular or plural; one in Han may stand
 *  anywhere, as Chinese has no blanks. Case and width make no difference. */
export const wordIn = (text: string, words: readonly string[]): string | undefined =>
  words.find((word) => {
    const own = folded(word);
    if (/\p{Script=Han}/u.test(own)) return folded(text).includes(own);
    return new RegExp(
      `(?<![\\p{Script=Latin}\\p{N}])${own.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?:s|es)?(?![\\p{Script=Latin}\\p{N}])`,
      'u',
    ).test(folded(text));
  });

/** The instruction without what stands behind a run of five blanks; its first line alone, where that is repeated; undefined where another
 *  line is. */
export function tidied(instruction: string): string | undefined {
  const [own] = instruction.trim().split(/\s{5,}/u);
  const lines = own!.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim()]));
  const again = lines.filter((line, at) => lines.indexOf(line) !== at);
  if (again.length === 0) return own;
  return again.every((line) => line === lines[0]) ? lines[0] : undefined;
}

/** Characters of a unit at most, and how often in a row it stands at most. */
const UNIT = 50;
const TIMES = 5;
/** The unit with a letter in it that stands more than five times in a row, anywhere in the text. */
export function repeatedIn(text: string): string | undefined {
  const chars = Array.from(text);
  for (let unit = 1; unit <= Math.min(UNIT, chars.length / (TIMES + 1)); unit++) {
    let alike = 0;
    for (let at = unit; at < chars.length; at++) {
      alike = chars[at] === chars[at - unit] ? alike + 1 : 0;
      if (alike < unit * TIMES) continue;
      const found = chars.slice(at - unit + 1, at + 1).join('');
      if (/\p{L}/u.test(found)) return found;
    }
  }
  return undefined;
}

/** Whether a verdict has the good tag and not the bad one; undefined: it has both, or neither. */
export function isGood(verdict: string): boolean | undefined {
  const [good, bad] = [/【\s*好\s*】|\[\s*good\s*\]/iu, /【\s*差\s*】|\[\s*bad\s*\]/iu].map((tag) => tag.test(verdict));
  return good === bad ? undefined : good;
}
