/** Parses the replies of CRAB's annotator. */
import type { ConstraintType } from '../../schemas/recipes/crab-types.ts';
import { unframed } from '../unframed.ts';

/** The JSON object of a reply: the whole of it, what a fence encloses, its second block, or what its braces enclose. */
function objectIn(reply: string): Readonly<Record<string, unknown>> | undefined {
  const candidates = [reply, unframed(reply), /```\w*\n([^]*?)```/.exec(reply)?.[1], reply.split('\n\n')[1], /\{[^]*\}/.exec(reply)?.[0]];
  for (const candidate of candidates) {
    try {
      const value: unknown = JSON.parse(candidate ?? '');
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
    } catch {
      // the next candidate
    }
  }
  return undefined;
}

/** The instruction without the heading that models put before it. */
export const parseRefined = (reply: string): string =>
  unframed(unframed(reply).replace(/^[#*\s]*(?:refined|revised|rewritten) (?:instruction|request)[*\s]*:?[*\s]*/i, ''));

/** Marks of lists and emphasis. */
const marks = ['******', '**', '*', '•', '1.', '-'];

/** Constraints by type; undefined if the reply is no JSON object. A type of the model's own counts too. */
export function parseConstraints(
  reply: string,
  types: readonly ConstraintType[],
  response: string,
): readonly { readonly type: string; readonly text: string }[] | undefined {
  const found = objectIn(reply);
  if (!found) return undefined;
  return Object.entries(found).flatMap(([key, value]) => {
    if (key.trim() === '' || typeof value !== 'string' || value.trim() === '' || /^\W*(?:null|none|n\/a)\W*$/i.test(value)) return [];
    const markup = types.find(({ name }) => name === key)?.markup ?? false;
    return markup && marks.some((mark) => value.includes(mark) && !response.includes(mark)) ? [] : { type: key, text: value.trim() };
  });
}

/** What becomes of a constraint; undefined if the verdict cannot be read. */
export function parseVerdict(reply: string): 'keep' | 'delete' | { readonly replace: string } | undefined {
  const { satisfaction, modified_constraint: modified, constraint_validity: validity } = objectIn(reply) ?? {};
  const [met, valid] = [satisfaction, validity].map((word) => (typeof word === 'string' ? word.trim().toUpperCase() : ''));
  if (met === 'YES') return 'keep';
  if (met !== 'NO' || (valid !== 'YES' && valid !== 'NO')) return undefined;
  if (valid === 'NO' || typeof modified !== 'string' || modified.trim() === '') return 'delete';
  return { replace: modified.trim() };
}
