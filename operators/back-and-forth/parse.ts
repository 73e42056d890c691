/** Reading the rewriter and the judge of answers. */
import { plainLines } from '../markup.ts';
import { drop, type Dropped } from '../../recipe/index.ts';

/** Between them stands the rewritten response (appendix A). */
export const markers = { open: '[RES]', close: '[/RES]' } as const;

/** The text between the two markers, without blanks at its ends; or why there is none. More than one pair says nothing of which is meant. */
export function betweenMarkers(reply: string): string | Dropped {
  const [before, text, ...others] = reply.split(markers.open);
  if (text === undefined) return drop('no-markers', reply);
  const [inside, ...rest] = text.split(markers.close);
  if (rest.length === 0) return drop(others.length > 0 ? 'several-markers' : 'no-end-marker', reply);
  if (others.length > 0 || rest.length > 1 || before!.includes(markers.close)) return drop('several-markers', reply);
  return inside!.trim() === '' ? drop('empty', reply) : inside!.trim();
}

/** `A` or `B`, where a verdict names one of them first; undefined where it does not. */
export const letterIn = (verdict: string): 'A' | 'B' | undefined =>
  /^(?:Answer:? )?([AB])(?:$|[^\p{L}\p{N} ]| is\b)/iu.exec(plainLines(verdict)[0] ?? '')?.[1]?.toUpperCase() as 'A' | 'B' | undefined;
