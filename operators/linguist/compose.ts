/** Composes requests: which slots an utterance must have, their numbers, and examples (2209.09900). */
import { drawSample } from '../musc/shots.ts';
import { wordsOf } from '../std/shingles.ts';
import { piecesOf, printed, slotsIn, WILDCARD } from './grammar.ts';
import { MAX_EXAMPLES, type Asked, type Utterance } from './records.ts';

type Random = () => number;
const shuffled = <T>(items: readonly T[], random: Random): T[] => drawSample(items, items.length, random);

export interface Composition {
  readonly language: string;
  /** The utterance whose slots are asked for. */
  readonly of: Utterance;
  /** In the order in which the request shows them. */
  readonly examples: readonly Utterance[];
  /** Slot types of the intent; those of `of` and of the examples are added. */
  readonly types: readonly string[];
  /** Probability that a value becomes a wildcard. */
  readonly wildcard: number;
}

/** Composes a request with shuffled numbers. `numberOf` has the number of each slot type. */
export function compose({ language, of, examples, types, wildcard }: Composition, random: Random) {
  const pieces = piecesOf(of);
  const all = new Set([...types, ...[of, ...examples].flatMap((one) => slotsIn(piecesOf(one)).map(({ type }) => type))]);
  const numbers = new Map(shuffled([...all].sort(), random).map((type, at) => [type, at + 1]));
  const numberOf = (type: string): number => numbers.get(type)!;
  const include = slotsIn(pieces).map(
    ({ type, words }) => [numberOf(type), random() < wildcard ? WILDCARD : words.join(' ')] as [number, string],
  );
  const asked: Asked = {
    language,
    intent: of.intent,
    include: shuffled(include, random),
    labels: Object.fromEntries([...numbers].map(([type, number]) => [number, type])),
    examples: examples.slice(0, MAX_EXAMPLES).map((one) => printed(piecesOf(one), numberOf)),
  };
  return { asked, numberOf };
}

/** The text of an utterance without its tags, in lower case and without punctuation. Utterances with one text count as the same. */
export const textOf = ({ tokens }: Pick<Utterance, 'tokens'>): string => wordsOf(tokens.join(' ')).join(' ');

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
/** Replaces each name with probability `rate` by a code of one to five letters. No two names become equal. */
export function withoutNames(labels: Asked['labels'], rate: number, random: Random): Asked['labels'] {
  const used = new Set(Object.values(labels));
  const code = (): string => {
    const length = 1 + Math.floor(random() * 5);
    const word = Array.from({ length }, () => letters[Math.floor(random() * letters.length)]).join('');
    return used.has(word) ? code() : word;
  };
  const renamed = Object.entries(labels).map(([number, name]) => {
    if (random() >= rate) return [number, name];
    const word = code();
    used.add(word);
    return [number, word];
  });
  return Object.fromEntries(renamed) as Asked['labels'];
}
