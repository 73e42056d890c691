/** Applies what people decided about the records of a gate. */
import { z } from 'zod';
import { reducer, type Dataset, type MaybePromise } from '../../recipe/index.ts';
import type { Verdict } from '../../schemas/review.ts';

type Values = Readonly<Record<string, unknown>>;
interface Of {
  readonly of: MaybePromise<Dataset<Values>>;
  readonly verdicts: MaybePromise<Dataset<Verdict>>;
}

/** Puts edited records in the place of the old ones, and drops rejected records unless they are kept. Records without a verdict stay. */
export const review = reducer<Of, Dataset<Values>, { readonly rejected: 'drop' | 'keep' }>({
  version: 1,
  params: z.strictObject({ rejected: z.enum(['drop', 'keep']) }),
  skipsConservation: true, // the verdicts enter and do not leave
  async *run({ of, verdicts }, { rejected }, { derive }) {
    const byRecord = new Map<string, Verdict>();
    for await (const { value } of verdicts) byRecord.set(value.of, value);
    for await (const record of of) {
      const { verdict, note, value } = byRecord.get(record.id) ?? {};
      if (verdict === 'reject' && rejected === 'drop')
        yield { record, dropped: 'reviewed', ...(typeof note === 'string' && { evidence: note }) };
      else if (verdict === 'edit' && value) yield { record: derive(value, [record]) };
      else yield { record };
    }
  },
});
