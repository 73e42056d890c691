/** What the guidance must have said to be understood. */
import type { Lengths } from '../../schemas/recipes/air.ts';
import { distance } from 'fastest-levenshtein';
import { wordsOf } from './records.ts';

const unquoted = (text: string): string =>
  text
    .trim()
    .replace(/^(["'“‘`])(.*)["'”’`]$/s, '$2')
    .trim();
/** What stands behind a bold label, up to the next one; undefined where there is no such label. */
const fieldOf = (reply: string, label: string): string | undefined =>
  new RegExp(`\\*\\*${label}\\*?\\*?:\\*{0,2}(.*?)(?=\\n\\s*\\*\\*[\\w ]+\\*?\\*?:|$)`, 'is').exec(reply)?.[1]?.trim();
const firstLine = (text: string): string => text.split('\n').find((line) => line.trim() !== '') ?? '';

/** The last line of five characters and more that is no preamble. */
export function instructionIn(reply: string): string | undefined {
  const lines = reply.split('\n').map(unquoted);
  return lines.findLast((line) => line.length >= 5 && !/^(this instruction|here is an?|here's an?)\b/i.test(line));
}

/** `Score: N/5`, 0 to 5, the last one. */
export function scoreIn(reply: string): number | undefined {
  const score = Number([...reply.matchAll(/\bscore:?[\s*]*:?[\s*]*(\d+)\s*\/\s*5\b/gi)].at(-1)?.[1]);
  return score >= 0 && score <= 5 ? score : undefined;
}

/** A type, whose name may be misspelt a little but is none of the `used`, and a constraint; or why there is none. */
export function constraintIn(
  reply: string,
  types: readonly string[],
  used: readonly string[],
  { constraint: ofConstraint, type: ofType }: Pick<Lengths, 'constraint' | 'type'>,
): { readonly type: string; readonly constraint: string } | 'none' | 'unreadable' {
  const [named, demanded] = [fieldOf(reply, '(?:selected )?type'), fieldOf(reply, 'constraint')].map(
    (field) => field && unquoted(firstLine(field)),
  );
  if (demanded !== undefined && /\bnone\b/i.test(demanded)) return 'none';
  if (!named || !demanded) return 'unreadable';
  if (/\boutput ?[12]\b|original instruction|these constraints/i.test(demanded)) return 'unreadable';
  const within = (text: string, { min, max }: Lengths['type']) => wordsOf(text) >= min && wordsOf(text) <= max;
  if (!within(demanded, ofConstraint) || !within(named, ofType)) return 'unreadable';
  const edits = (type: string) => distance(type.toLowerCase(), bare(named));
  const [type] = types.toSorted((a, b) => edits(a) - edits(b));
  return type === undefined || edits(type) > 2 || used.includes(type) ? 'unreadable' : { type, constraint: demanded };
}
const bare = (name: string): string =>
  name
    .toLowerCase()
    .replace(/^[\s\-*\d.]+|[\s*.:]+$/g, '')
    .trim();

/** Whether a constraint repeats an earlier one. What is neither yes nor no, and holds no "no", is a yes. */
export function duplicateIn(reply: string): boolean {
  const answer = fieldOf(reply, 'answer') ?? '';
  if (/^\W*yes\b/i.test(answer)) return true;
  return !/\bno\b/i.test(answer);
}

/** A score of 0 to 3 for each criterion: lines of the criterion, a tab, and the score. undefined where their number is another. */
export function gradesIn(reply: string, criteria: number): readonly number[] | undefined {
  const grades = reply.split('\n').flatMap((line) => {
    const grade = /\t\W*([0-3])\W*$/.exec(line)?.[1];
    return grade === undefined ? [] : Number(grade);
  });
  return grades.length === criteria ? grades : undefined;
}

/** What stands before the first header that nobody asked for. */
export const mergedIn = (reply: string): string => unquoted(reply.split(/\n\s*\*\*/)[0]!);
