/** P1: which pairs enter (2410.24175, code). */
import { z } from 'zod';
import { drop, filter, keep, operator } from '../../recipe/index.ts';
import { wordsOf } from '../rules/text.ts';
import { pair } from './records.ts';

/** Keeps responses of at least `minWords` words, and a share of the others. */
export const longEnough = operator({
  version: 1,
  input: pair,
  output: pair,
  params: z.object({ minWords: z.int(), bypass: z.number() }),
  stochastic: ({ bypass }) => bypass > 0,
  run(pair, { random }, { minWords, bypass }) {
    const words = wordsOf(pair.response).length;
    return words >= minWords || (bypass > 0 && random('bypass')() < bypass) ? keep(pair) : drop('short', `${words} words`);
  },
});

/** Keeps at most `most` pairs of each source, the first ones. */
export const capSources = filter<{ readonly source: string }, { readonly most: number }>({
  version: 1,
  params: z.object({ most: z.int().min(1) }),
  async *run({ of }, { most }) {
    const seen = new Map<string, number>();
    for await (const record of of) {
      const { source } = record.value;
      const before = seen.get(source) ?? 0;
      seen.set(source, before + 1);
      if (before >= most) yield { record, dropped: 'source-full', evidence: source };
      else yield { record };
    }
  },
});
