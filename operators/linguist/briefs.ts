/** A1 and A3: the starters of an intent, and requests for utterances like them (2209.09900). */
import { z } from 'zod';
import { filter, reducer, type Dataset, type MaybePromise } from '../../recipe/index.ts';
import { recordId } from '../../schemas/canonical.ts';
import { drawSample } from '../musc/shots.ts';
import { compose } from './compose.ts';
import { byIntent, typesOf } from './drills.ts';
import type { Brief, Utterance } from './records.ts';

interface Of {
  readonly of: MaybePromise<Dataset<Utterance>>;
}

/** Leaves out the utterances of an intent. */
export const allBut = filter<{ readonly intent: string }, { readonly intent: string }>({
  version: 1,
  params: z.object({ intent: z.string() }),
  async *run({ of }, { intent }) {
    for await (const record of of) {
      if (record.value.intent === intent) yield { record, dropped: 'held-out' };
      else yield { record };
    }
  },
});

interface Starting {
  readonly intent: string;
  readonly count: number;
  /** Number of the draw. As a part of the step's key it makes each draw another. */
  readonly draw: number;
}
/** A random sample of the utterances of an intent. */
export const starters = filter<Utterance, Starting>({
  version: 1,
  params: z.object({ intent: z.string(), count: z.int().min(1), draw: z.int() }),
  stochastic: () => true,
  maxRows: (entering, { count }) => Math.min(entering, count),
  async *run({ of }, { intent, count }, { random }) {
    const own = (await byIntent(of)).get(intent) ?? [];
    const drawn = new Set(drawSample(own, count, random('starters')).map(({ id }) => id));
    for await (const record of of) {
      if (record.value.intent !== intent) yield { record, dropped: 'other-intent' };
      else if (drawn.has(record.id)) yield { record };
      else yield { record, dropped: 'held-out' };
    }
  },
});

export interface Briefing {
  /** Of the utterances to be written; null: the language of the given ones. */
  readonly language: string | null;
  /** Requests for each utterance. */
  readonly samples: number;
  /** Number of the pass. As a part of the step's key it makes the requests of each pass others. */
  readonly pass: number;
  /** Examples of a request at most. */
  readonly most: number;
  readonly wildcard: number;
  /** Intent -> its slot types, if it has more than its utterances. */
  readonly ontology: { readonly [intent: string]: readonly string[] };
}
/** Requests for utterances with the slots of each given one, and numbers, values and examples of their own. The examples are of the same
 *  intent; in another language the given utterance is the first of them. All utterances have their turn before any has its next. */
export const briefs = reducer<Of, Dataset<Brief>, Briefing>({
  version: 1,
  params: z.object({
    language: z.string().nullable(),
    samples: z.int().min(1),
    pass: z.int(),
    most: z.int(),
    wildcard: z.number(),
    ontology: z.record(z.string(), z.array(z.string())),
  }),
  stochastic: () => true,
  skipsConservation: true, // more records leave than enter
  maxRows: (entering, { samples }) => entering * samples,
  async *run({ of }, { language, samples, most, wildcard, ontology }, { random, derive }) {
    const pools = await byIntent(of);
    const legal = new Map([...pools].map(([intent, pool]) => [intent, ontology[intent] ?? typesOf(pool)]));
    for (let number = 0; number < samples; number++) {
      for await (const record of of) {
        const { value: given, id } = record;
        const draw = random(`${number} ${id}`);
        const others = pools.get(given.intent)!.flatMap((one) => (one.id === id ? [] : [one.value]));
        const translating = language !== null && language !== given.language;
        const shown = [given, ...drawSample(others, most - 1, draw)].slice(0, most);
        const examples = translating ? shown : drawSample(shown, most, draw);
        const types = legal.get(given.intent)!;
        const { asked } = compose({ language: language ?? given.language, of: given, examples, types, wildcard }, draw);
        const brief = { source: id, ...asked, legal: types };
        yield { record: derive({ id: recordId(brief, [id], number), ...brief }, [record]) };
      }
    }
  },
});
