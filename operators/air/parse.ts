/** Parses the replies of AIR's guidance model. */
import type { Lengths } from '../../schemas/recipes/air.ts';
import { distance } from 'fastest-levenshtein';
import { wordsOf } from './records.ts';

const unquoted = (text: string): string =>
  text
    .trim()
    .replace(/^(["'“‘`])(.*)["'”’`]$/s, '$2')
    .trim();
/** Returns the text after a bold label, up to the next label; undefined if the label is missing. */
const fieldOf = (reply: string, label: string): string | undefined =>
  new RegExp(`\\*\\*${label}\\*?\\*?:\\*{0,2}(.*?)(?=\\n\\s*\\*\\*[\\w ]+\\*?\\*?:|$)`, 'is').exec(reply)?.[1]?.trim();
const firstLine = (text: string): string => text.split('\n').find((line) => line.trim() !== '') ?? '';

/** Returns the last line of at least five characters that is not a preamble. */
export function parseInstruction(reply: string): string | undefined {
  const lines = reply.split('\n').map(unquoted);
  return lines.findLast((line) => line.length >= 5 && !/^(this instruction|here is an?|here's an?)\b/i.test(line));
}

/** Parses the last `Score: N/5`, with N from 0 to 5. */
export function parseScore(reply: string): number | undefined {
  const score = Number([...reply.matchAll(/\bscore:?[\s*]*:?[\s*]*(\d+)\s*\/\s*5\b/gi)].at(-1)?.[1]);
  return score >= 0 && score <= 5 ? score : undefined;
}

/** Parses a constraint and its type, or says why there is none. The type's name may differ by two edits from one of `types`, and must
 *  not be in `used`. */
export function parseConstraint(
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
  const edits = (type: string) => distance(type.toLowerCase(), bareName(named));
  const [type] = types.toSorted((a, b) => edits(a) - edits(b));
  return type === undefined || edits(type) > 2 || used.includes(type) ? 'unreadable' : { type, constraint: demanded };
}
const bareName = (name: string): string =>
  name
    .toLowerCase()
    .replace(/^[\s\-*\d.]+|[\s*.:]+$/g, '')
    .trim();

/** Returns whether a constraint repeats an earlier one. Ambiguous replies without a "no" count as yes. */
export function parseDuplicate(reply: string): boolean {
  const answer = fieldOf(reply, 'answer') ?? '';
  if (/^\W*yes\b/i.test(answer)) return true;
  return !/\bno\b/i.test(answer);
}

/** Parses lines of criterion, tab and score (0 to 3). Undefined if the number of scores differs from `criteria`. */
export function parseGrades(reply: string, criteria: number): readonly number[] | undefined {
  const grades = reply.split('\n').flatMap((line) => {
    const grade = /\t\W*([0-3])\W*$/.exec(line)?.[1];
    return grade === undefined ? [] : Number(grade);
  });
  return grades.length === criteria ? grades : undefined;
}

/** Returns the text before the first bold header, because models add sections that the prompt did not request. */
export const parseMerged = (reply: string): string => unquoted(reply.split(/\n\s*\*\*/)[0]!);
