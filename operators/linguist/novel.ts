/** V6, and the selection of one translation for each utterance (2209.09900). */
import { z } from 'zod';
import { reducer, type Dataset, type MaybePromise } from '../../recipe/index.ts';
import { fallback, type Fallback } from '../../schemas/recipes/linguist.ts';
import { textOf } from './compose.ts';
import type { Sample, Utterance } from './records.ts';

interface Generated {
  readonly made: readonly MaybePromise<Dataset<Sample>>[];
  /** Real utterances, among them all examples of the requests. */
  readonly real: MaybePromise<Dataset<Utterance>>;
  readonly test: MaybePromise<Dataset<Utterance>>;
}

/** V6: drops copies of real utterances and of test utterances, and utterances that are there already, and what exceeds `most`. */
export const novel = reducer<Generated, Dataset<Sample>, { readonly most: number | null }>({
  version: 1,
  params: z.object({ most: z.int().min(1).nullable() }),
  skipsConservation: true, // the real and the test utterances enter and do not leave
  maxRows: (entering, { most }) => Math.min(entering, most ?? entering),
  async *run({ made, real, test }, { most }, { derive }) {
    const known = new Map<string, string>();
    for await (const { value } of test) known.set(textOf(value), 'v6-test');
    for await (const { value } of real) known.set(textOf(value), 'v6-copy');
    let accepted = 0;
    for (const rows of made)
      for await (const record of rows) {
        const text = textOf(record.value);
        const dropped = known.get(text) ?? (accepted === most ? 'surplus' : undefined);
        if (dropped !== undefined) {
          yield { record, dropped, evidence: text };
          continue;
        }
        accepted++;
        known.set(text, 'v6-duplicate');
        yield { record: derive({ ...record.value, rules: { ...record.value.rules, V6: true } }, [record]) };
      }
  },
});

interface Translated {
  readonly of: MaybePromise<Dataset<Utterance>>;
  readonly made: MaybePromise<Dataset<Sample>>;
}
/** For each utterance of `of` the sample with the lowest perplexity that was made from it. `fallback`: what becomes of one without any. */
export const best = reducer<Translated, Dataset<Utterance>, { readonly fallback: Fallback }>({
  version: 1,
  params: z.object({ fallback }),
  skipsConservation: true, // an utterance leaves as its sample
  async *run({ of, made }, { fallback }, { derive }) {
    const taken = new Map<string, { readonly id: string; readonly perplexity: number }>();
    for await (const { id, value } of made) {
      const { source } = value.brief!;
      const perplexity = value.perplexity!;
      if (perplexity < (taken.get(source)?.perplexity ?? Infinity)) taken.set(source, { id, perplexity });
    }
    for await (const record of made) {
      if (taken.get(record.value.brief!.source)?.id === record.id) yield { record };
      else yield { record, dropped: 'not-best', evidence: `perplexity ${record.value.perplexity}` };
    }
    for await (const record of of) {
      if (taken.has(record.id)) continue;
      if (fallback === 'copy') yield { record: derive(record.value, [record]) };
      else yield { record, dropped: 'no-translation' };
    }
  },
});
