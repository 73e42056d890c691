/** Repeats records, so that each copy is a task of its own. */
import { z } from 'zod';
import { reducer, type Dataset, type MaybePromise } from '../../recipe/index.ts';
import { recordId } from '../../schemas/canonical.ts';

type Values = Readonly<Record<string, unknown>>;
interface Of {
  readonly of: MaybePromise<Dataset<Values>>;
}

/** Each record `times` times, one copy after another. Copies have ids of their own, so a step that samples gives each a sample of its own. */
export const repeat = reducer<Of, Dataset<Values>, { readonly times: number }>({
  version: 1,
  params: z.strictObject({ times: z.int().min(1) }),
  skipsConservation: true, // more records leave than enter
  maxRows: (entering, { times }) => entering * times,
  async *run({ of }, { times }) {
    for await (const { id, value } of of) {
      for (let copy = 0; copy < times; copy++) yield { record: { id: recordId(value, [id], copy), from: [id], value } };
    }
  },
});
