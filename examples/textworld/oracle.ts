// Compares answers with the truth, for evaluation only: a recipe must never see it.
import { undress } from './forms.ts';
import { isAdvert, type Pair } from './interviews.ts';
import { sameMeaning, topicKey, type Topic, type World } from './world.ts';

/** Whether the answer states the requested fact, truly and in the requested form. */
export function isRight(world: World, { instruction, response }: Pair): boolean {
  return sameMeaning(world.parseInstruction(instruction), world.parseAnswer(response));
}

/** Shares of answers that are right (`forwardExact`), and that have the requested form, right or wrong (`csr`). */
export function scoreForward(world: World, answered: readonly Pair[]): { forwardExact: number; csr: number } {
  return {
    forwardExact: share(answered, (pair) => isRight(world, pair)),
    csr: share(
      answered,
      ({ instruction, response }) => response !== '' && undress(response).form === world.parseInstruction(instruction)?.form,
    ),
  };
}

/** The share of instructions that ask exactly for the fact and form of the response. */
export function scoreBackward(world: World, asked: readonly Pair[]): { backwardExact: number } {
  return { backwardExact: share(asked, (pair) => isRight(world, pair)) };
}

/** The shares of pairs that are right and that are adverts, and the share of the corpus's facts with a right pair. */
export function scorePairs(
  world: World,
  pairs: readonly Pair[],
  topics: readonly Topic[],
): { keptPrecision: number; keptAdvertShare: number; keptCoverage: number } {
  const right = pairs.filter((pair) => isRight(world, pair));
  const covered = new Set(right.map(({ response }) => topicKey(world.parseAnswer(response) as Topic)));
  return {
    keptPrecision: share(pairs, (pair) => isRight(world, pair)),
    keptAdvertShare: share(pairs, ({ response }) => isAdvert(response)),
    keptCoverage: share(topics, (topic) => covered.has(topicKey(topic))),
  };
}

/** Returns 0 for an empty list. */
function share<T>(items: readonly T[], test: (item: T) => boolean): number {
  return items.length === 0 ? 0 : items.filter(test).length / items.length;
}
