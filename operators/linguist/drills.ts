/** L1 and L2: what the generator learns. Each utterance is the target of a request that shows others of its intent (2209.09900). */
import { z } from 'zod';
import { reducer, type Dataset, type MaybePromise, type Rec, type Rows } from '../../recipe/index.ts';
import { drilling, type Drilling } from '../../schemas/recipes/linguist.ts';
import { drawSample } from '../musc/shots.ts';
import { compose, textOf, withoutNames } from './compose.ts';
import { piecesOf, printed, slotsIn } from './grammar.ts';
import type { Drill, Utterance } from './records.ts';

interface Of {
  readonly of: MaybePromise<Dataset<Utterance>>;
}

/** Utterances in memory, by intent. */
export async function byIntent(rows: Rows<Utterance>): Promise<ReadonlyMap<string, readonly Rec<Utterance>[]>> {
  const records: Rec<Utterance>[] = [];
  for await (const record of rows) records.push(record);
  return Map.groupBy(records, ({ value }) => value.intent);
}
export const typesOf = (utterances: readonly Rec<Utterance>[]): string[] => [
  ...new Set(utterances.flatMap(({ value }) => slotsIn(piecesOf(value)).map(({ type }) => type))),
];

/** A drill with any number of examples up to `most`; those in `first` come before all others, if there are any examples. */
function drillOf(
  target: Utterance,
  {
    first,
    others,
    types,
  }: { readonly first: readonly Utterance[]; readonly others: readonly Utterance[]; readonly types: readonly string[] },
  { most, wildcard, labelDropout }: Drilling & { readonly most: number },
  random: () => number,
): Drill {
  const count = Math.floor(random() * (most + 1));
  const examples = [...first, ...drawSample(others, most, random)].slice(0, count);
  const { asked, numberOf } = compose({ language: target.language, of: target, examples, types, wildcard }, random);
  return { ...asked, labels: withoutNames(asked.labels, labelDropout, random), target: printed(piecesOf(target), numberOf) };
}

/** A drill for each utterance, with at most `most` examples. No example has the text of the target. */
export const drills = reducer<Of, Dataset<Drill>, { readonly most: number; readonly drilling: Drilling }>({
  version: 1,
  params: z.object({ most: z.int(), drilling }),
  stochastic: () => true,
  async *run({ of }, { most, drilling }, { random, derive }) {
    for (const pool of (await byIntent(of)).values()) {
      const types = typesOf(pool);
      const texts = pool.map(({ value }) => textOf(value));
      for (const [at, record] of pool.entries()) {
        const others = pool.flatMap(({ value }, other) => (texts[other] === texts[at] ? [] : [value]));
        yield { record: derive(drillOf(record.value, { first: [], others, types }, { ...drilling, most }, random(record.id)), [record]) };
      }
    }
  },
});

interface Crossing {
  readonly from: string;
  readonly languages: readonly string[];
  readonly most: number;
  readonly drilling: Drilling;
}
/** Drills of a parallel corpus: the target is in one of `languages`, the examples are in the language `from`. The first is the utterance
 *  that the target translates, which has the same `id`. */
export const crossDrills = reducer<Of, Dataset<Drill>, Crossing>({
  version: 1,
  params: z.object({ from: z.string(), languages: z.array(z.string()), most: z.int(), drilling }),
  stochastic: () => true,
  async *run({ of }, { from, languages, most, drilling }, { random, derive }) {
    for (const pool of (await byIntent(of)).values()) {
      const types = typesOf(pool);
      const sources = pool.flatMap(({ value }) => (value.language === from ? [value] : []));
      for (const record of pool) {
        const { value: target } = record;
        const translated = target.id !== null && sources.find(({ id }) => id === target.id);
        if (target.language === from) yield { record, dropped: 'source' };
        else if (!languages.includes(target.language)) yield { record, dropped: 'other-language', evidence: target.language };
        else if (!translated) yield { record, dropped: 'no-translation', evidence: `its id is ${target.id ?? 'missing'}` };
        else {
          const others = sources.filter((source) => source !== translated);
          yield {
            record: derive(drillOf(target, { first: [translated], others, types }, { ...drilling, most }, random(record.id)), [record]),
          };
        }
      }
    }
  },
});
