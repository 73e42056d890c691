/** Parses the replies of the rewriter and of the judge of answers. */
import { plainLines } from '../markup.ts';
import { drop, type Dropped } from '../../recipe/index.ts';

/** The rewritten response stands between these markers (appendix A). */
export const markers = { open: '[RES]', close: '[/RES]' } as const;

/** Returns the trimmed text between the two markers, or drops the reply if they are missing or ambiguous: with several pairs, no pair
 *  can be chosen. */
export function parseRewritten(reply: string): string | Dropped {
  const [before, text, ...others] = reply.split(markers.open);
  if (text === undefined) return drop('no-markers', reply);
  const [inside, ...rest] = text.split(markers.close);
  if (rest.length === 0) return drop(others.length > 0 ? 'several-markers' : 'no-end-marker', reply);
  if (others.length > 0 || rest.length > 1 || before!.includes(markers.close)) return drop('several-markers', reply);
  return inside!.trim() === '' ? drop('empty', reply) : inside!.trim();
}

/** Parses `A` or `B` if the verdict begins with one of them. */
export const parseLetter = (verdict: string): 'A' | 'B' | undefined =>
  /^(?:Answer:? )?([AB])(?:$|[^\p{L}\p{N} ]| is\b)/iu.exec(plainLines(verdict)[0] ?? '')?.[1]?.toUpperCase() as 'A' | 'B' | undefined;
