/** Combines several datasets into one. */
import { z } from 'zod';
import { reducer, type Dataset, type MaybePromise } from '../../recipe/index.ts';
import { canonicalJson } from '../../schemas/canonical.ts';

type Values = Readonly<Record<string, unknown>>;
type Data = MaybePromise<Dataset<Values>>;

/** Concatenates all parts; `part` names the part of each record. */
export const mix = reducer<{ readonly [part: string]: Data }, Dataset<Values & { readonly part: string }>>({
  version: 1,
  async *run(parts, _params, { derive }) {
    for (const [part, rows] of Object.entries(parts)) {
      for await (const record of rows) yield { record: derive({ ...record.value, part }, [record]) };
    }
  },
});

/** Concatenates datasets and drops records whose id occurred before. */
export const union = reducer<readonly Data[], Dataset<Values>>({
  version: 1,
  async *run(datasets) {
    const seen = new Set<string>();
    for (const rows of datasets) {
      for await (const record of rows) {
        if (seen.has(record.id)) yield { record, dropped: 'duplicate' };
        else yield { record };
        seen.add(record.id);
      }
    }
  },
});

/** The records of `left` whose `on` does not occur in `right`. */
export const without = reducer<{ readonly left: Data; readonly right: Data }, Dataset<Values>, { readonly on: string }>({
  version: 1,
  params: z.strictObject({ on: z.string() }),
  skipsConservation: true, // the records of `right` enter and do not leave
  async *run({ left, right }, { on }) {
    const present = new Set<string>();
    for await (const { value } of right) present.add(canonicalJson(value[on] ?? null));
    for await (const record of left) {
      const key = canonicalJson(record.value[on] ?? null);
      if (present.has(key)) yield { record, dropped: 'present', evidence: `${on} is ${key.slice(0, 80)}` };
      else yield { record };
    }
  },
});
