/** Which demonstrations a request shows: those with many short constraints teach to take apart, those with few long ones to put together. */
import type { Demo } from './records.ts';

type Random = () => number;

/** Of those that come first by words a constraint: three with a text of their own and two without, in any order. */
export const toTakeApart = (demos: readonly Demo[], random: Random): Demo[] => {
  const [having, bare] = parted(demos);
  return drawn([...drawn(having.slice(0, 5), 3, random), ...drawn(bare.slice(0, 20), 2, random)], 5, random);
};

/** Two of those that come last, with a text of their own as the record has one or has none. */
export const toPutTogether = (demos: readonly Demo[], input: string | null, random: Random): Demo[] => {
  const [having, bare] = parted(demos);
  return input === null ? drawn(bare.slice(-40), 2, random) : drawn(having.slice(-10), 2, random);
};

/** Two of each kind. */
export const toInvent = (demos: readonly Demo[], random: Random): Demo[] => {
  const [having, bare] = parted(demos);
  return drawn([...drawn(having, 2, random), ...drawn(bare, 2, random)], 4, random);
};

/** With a text of their own and without, each by words a constraint. */
function parted(demos: readonly Demo[]): [Demo[], Demo[]] {
  const words = ({ constraints }: Demo) => constraints.join(' ').split(/\s+/).length / constraints.length;
  const sorted = demos.toSorted((a, b) => words(a) - words(b));
  return [sorted.filter(({ input }) => input !== null), sorted.filter(({ input }) => input === null)];
}

/** So many, without replacement, or all there are. */
export function drawn<T>(from: readonly T[], count: number, random: Random): T[] {
  const left = [...from];
  return Array.from({ length: Math.min(count, left.length) }, () => left.splice(Math.floor(random() * left.length), 1)[0]!);
}
