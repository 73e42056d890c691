/** How much what was imagined counts beside what people wrote: the paper calls it dynamic, and its rule is not known. */
import { z } from 'zod';
import { reducer, type Dataset, type Report, type MaybePromise } from '../../recipe/index.ts';
import { alpha, type Alpha } from '../../schemas/recipes/main.ts';
import { direction, type Direction, type Imagined, type Measured, type Row } from './records.ts';

/** The share of the loss that falls to what was imagined, in [0, 1]. */
export const balance = reducer<
  { readonly of: MaybePromise<Dataset<Imagined | Measured>> },
  Report<{ readonly alpha: number }>,
  { readonly alpha: Alpha; readonly round: number; readonly rounds: number }
>({
  version: 1,
  params: z.object({ alpha, round: z.int(), rounds: z.int() }),
  outputs: 'report',
  async run({ of }, { alpha, round, rounds }) {
    if ('constant' in alpha) return { alpha: alpha.constant };
    if ('linear' in alpha) {
      const [from, to] = alpha.linear;
      return { alpha: rounds === 1 ? to : from + ((to - from) * (round - 1)) / (rounds - 1) };
    }
    let [imagined, seed] = [0, 0];
    for await (const { value } of of) {
      if (!('seedNll' in value)) throw new Error('what is weighed by its loss must have been measured');
      imagined += value.imaginedNll;
      seed += value.seedNll;
    }
    return { alpha: seed + imagined === 0 ? 0.5 : seed / (seed + imagined) };
  },
});

/**
 * Two rows of each pair, which share what is learnt: given what was imagined, with the weight 2α, and given what people wrote, with
 * 2(1 - α). In one batch their mean loss is α times that of the one and (1 - α) times that of the other.
 */
export const weigh = reducer<
  { readonly of: MaybePromise<Dataset<Imagined>>; readonly balance: MaybePromise<Report<{ readonly alpha: number }>> },
  Dataset<Row>,
  { readonly direction: Direction }
>({
  version: 1,
  params: z.object({ direction }),
  skipsConservation: true,
  maxRows: (pairs) => 2 * pairs,
  async *run({ of, balance: { alpha } }, { direction }, { derive }) {
    for await (const record of of) {
      const { instruction, response, imagined } = record.value;
      const replaced = direction === 'forward' ? { instruction: imagined, response } : { instruction, response: imagined };
      yield { record: derive({ ...replaced, weight: 2 * alpha, group: record.id }, [record]) };
      yield { record: derive({ instruction, response, weight: 2 * (1 - alpha), group: record.id }, [record]) };
    }
  },
});
