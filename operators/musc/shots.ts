/** Which demonstrations a request shows: those with many short constraints teach to take apart, those with few long ones to put together. */
import type { Demo } from './records.ts';

type Random = () => number;

/** Of those that come first by words a constraint: three with a text of their own and two without, in any order. */
export const shotsForDecompose = (demos: readonly Demo[], random: Random): Demo[] => {
  const [having, bare] = splitByInput(demos);
  return drawSample([...drawSample(having.slice(0, 5), 3, random), ...drawSample(bare.slice(0, 20), 2, random)], 5, random);
};

/** Two of the last demonstrations, with a text if the record has one. */
export const shotsForRecombine = (demos: readonly Demo[], input: string | null, random: Random): Demo[] => {
  const [having, bare] = splitByInput(demos);
  return input === null ? drawSample(bare.slice(-40), 2, random) : drawSample(having.slice(-10), 2, random);
};

/** Two with a text and two without. */
export const shotsForInvent = (demos: readonly Demo[], random: Random): Demo[] => {
  const [having, bare] = splitByInput(demos);
  return drawSample([...drawSample(having, 2, random), ...drawSample(bare, 2, random)], 4, random);
};

/** Splits demonstrations by whether they have a text, each half sorted by words per constraint. */
function splitByInput(demos: readonly Demo[]): [Demo[], Demo[]] {
  const words = ({ constraints }: Demo) => constraints.join(' ').split(/\s+/).length / constraints.length;
  const sorted = demos.toSorted((a, b) => words(a) - words(b));
  return [sorted.filter(({ input }) => input !== null), sorted.filter(({ input }) => input === null)];
}

/** Draws `count` items without replacement, or all if there are fewer. */
export function drawSample<T>(from: readonly T[], count: number, random: Random): T[] {
  const left = [...from];
  return Array.from({ length: Math.min(count, left.length) }, () => left.splice(Math.floor(random() * left.length), 1)[0]!);
}
