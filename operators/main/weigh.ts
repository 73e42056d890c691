/** Weighs generated rows against human rows. The paper calls the weight dynamic and does not publish its rule. */
import { z } from 'zod';
import { reducer, type Dataset, type Report, type MaybePromise } from '../../recipe/index.ts';
import { alpha, type Alpha } from '../../schemas/recipes/main.ts';
import { direction, type Direction, type Imagined, type Measured, type Row } from './records.ts';

/** Computes the share of the loss that generated rows get, in [0, 1]. */
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

/** Makes two rows of each pair with the same completion: one with the generated prompt and weight 2α, one with the human prompt and
 *  weight 2(1 - α). In one batch their mean loss is α times the first loss plus (1 - α) times the second. */
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
