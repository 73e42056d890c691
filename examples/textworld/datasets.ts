// Creates a recipe's data: a few labelled pairs, a noisy corpus without labels, and tests.
import { forms } from './forms.ts';
import { advert, type Pair } from './interviews.ts';
import { seededRandom, type Random } from './random.ts';
import { kinds } from './relations.ts';
import type { Meaning, Topic, World } from './world.ts';

/** Things of each kind in the labelled pairs and in the corpus. */
const thingsPerKind = {
  full: { labelled: 6, told: 54 },
  /** For fault tests: smaller, otherwise the same. */
  miniature: { labelled: 2, told: 1 },
} as const;
export type Size = keyof typeof thingsPerKind;

export interface Datasets {
  /** Right pairs about the labelled things: 96. */
  readonly seed: readonly Pair[];
  /** One true answer for every fact about the other things, 864, among half as many adverts again, 1,296, for the same facts. */
  readonly corpus: readonly string[];
  /** The facts in the corpus. */
  readonly topics: readonly Topic[];
  /** An instruction for each thing of the corpus, in another form than the corpus uses for that fact: 216. */
  readonly forwardTests: readonly string[];
  /** An answer for each thing of the corpus, in another form than the corpus uses for that fact: 216. */
  readonly backwardTests: readonly string[];
}

/** Everything that depends on `seed`, above all the choice of labelled things. */
export function createDatasets(world: World, seed: number, size: Size): Datasets {
  const random = seededRandom(`datasets ${seed}`);
  const { labelled, told } = thingsPerKind[size];
  const shuffled = kinds.map((kind) => random.shuffle(world.things.filter((thing) => thing.kind === kind)));
  const someTopics = (from: number, to: number): Topic[] =>
    shuffled.flatMap((things) => things.slice(from, to)).flatMap(({ name }) => world.topicsOf(name));
  const inSomeForm = (topic: Topic): Meaning => ({ ...topic, form: random.pick(forms) });

  const seedMeanings = someTopics(0, labelled).map(inSomeForm);
  const corpusMeanings = someTopics(labelled, labelled + told).map(inSomeForm);
  const topics = corpusMeanings.map(({ thing, relation }) => ({ thing, relation }));
  const toldTwice = new Set(random.shuffle(topics).slice(0, topics.length / 2));
  const adverts = topics.flatMap((topic) => {
    const wordings = random.shuffle(world.answers({ ...topic, form: 'plain' })).map(advert);
    return wordings.slice(0, toldTwice.has(topic) ? 2 : 1);
  });
  const onePerThing = (): Meaning[] => {
    const byThing = Map.groupBy(corpusMeanings, ({ thing }) => thing);
    return [...byThing.values()].map((meanings) => inOtherForm(random, random.pick(meanings)));
  };

  return {
    seed: random.shuffle(
      seedMeanings.map((meaning) => ({ instruction: world.ask(random, meaning), response: world.answer(random, meaning) })),
    ),
    corpus: random.shuffle([...corpusMeanings.map((meaning) => world.answer(random, meaning)), ...adverts]),
    topics,
    forwardTests: onePerThing().map((meaning) => world.ask(random, meaning)),
    backwardTests: onePerThing().map((meaning) => world.answer(random, meaning)),
  };
}

function inOtherForm(random: Random, meaning: Meaning): Meaning {
  return { ...meaning, form: random.pick(forms.filter((form) => form !== meaning.form)) };
}
