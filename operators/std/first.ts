/** Keeps the first records of a dataset. */
import { z } from 'zod';
import { filter } from '../../recipe/index.ts';

export const first = filter<unknown, { readonly count: number }>({
  version: 1,
  params: z.strictObject({ count: z.int().min(1) }),
  maxRows: (entering, { count }) => Math.min(entering, count),
  async *run({ of }, { count }) {
    let read = 0;
    for await (const record of of) yield ++read <= count ? { record } : { record, dropped: 'not-first' };
  },
});
