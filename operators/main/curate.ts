/** Implements the mutual filter: keeps the pairs on which both models agree best. */
import { reducer, type Dataset, type MaybePromise } from '../../recipe/index.ts';
import { keeping, type Keeping } from '../../schemas/recipes/main.ts';
import { codePoints } from '../lengths.ts';
import type { Agreed } from './records.ts';

interface Candidate {
  readonly id: string;
  readonly nll: number;
  readonly length: number;
}

/** Keeps the pairs with the lowest loss, in each bucket of similar response lengths. Ties go by record id. The order stays. */
export const curate = reducer<{ readonly of: MaybePromise<Dataset<Agreed>> }, Dataset<Agreed>, Keeping>({
  version: 3,
  params: keeping,
  maxRows: (entering, { share, count = Infinity }) => Math.min(Math.ceil(share * entering), count),
  async *run({ of }, { share, count = Infinity, maxNll = Infinity, floor, buckets }) {
    const candidates: Candidate[] = [];
    for await (const { id, value } of of)
      if (value.nll >= floor && value.nll <= maxNll) candidates.push({ id, nll: value.nll, length: codePoints(value.response) });
    const best = new Set(bestInBuckets(candidates, Math.min(share, count / candidates.length), buckets));
    for await (const record of of) {
      const { nll } = record.value;
      if (nll < floor) yield { record, dropped: 'too-sure', evidence: `${nll}` };
      else if (nll > maxNll) yield { record, dropped: 'disagrees', evidence: `${nll}` };
      else if (!best.has(record.id)) yield { record, dropped: 'not-best', evidence: `${nll}` };
      else yield { record };
    }
  },
});

/** The ids of the best `share` of the candidates, from buckets in order of length whose sizes differ by at most one. Each bucket adds
 *  what is due up to its end, so that rounding loses nothing, even where a bucket holds a single candidate. */
function bestInBuckets(candidates: readonly Candidate[], share: number, buckets: number): string[] {
  const sorted = candidates.toSorted((a, b) => a.length - b.length || (a.id < b.id ? -1 : 1));
  const edge = (n: number) => Math.floor((n * sorted.length) / buckets);
  const due = (n: number) => Math.floor(share * edge(n) + 1e-9); // .29 x 100 is 28.999...
  return Array.from({ length: buckets }, (_, n) => {
    const ranked = sorted.slice(edge(n), edge(n + 1)).toSorted((a, b) => a.nll - b.nll || (a.id < b.id ? -1 : 1));
    return ranked.slice(0, due(n + 1) - due(n)).map(({ id }) => id);
  }).flat();
}
