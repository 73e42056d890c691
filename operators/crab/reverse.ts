/** V1: responses with their constraints as what is to be written, in the same groups as the forward rows (2410.24175, code). */
import type { ConstraintType } from '../../schemas/recipes/crab-types.ts';
import type { Reverse } from '../../schemas/recipes/crab.ts';
import { drawSample } from '../musc/shots.ts';
import { withReply, user } from '../turns.ts';
import { ruleTypes } from './derive.ts';
import { drawCount, type Group } from './forward.ts';
import { drawRequest, pick } from './layouts.ts';
import type { Conversation, Tidied } from './records.ts';

type Random = () => number;

/** What the constraints that code derives say, after "what". */
const aboutRules: Readonly<Record<(typeof ruleTypes)[number], string>> = {
  length: 'number of words the response has: a range, a minimum or a maximum',
  words_per_sentence: 'number of words its sentences have at most',
  sentences_per_paragraph: 'number of sentences its paragraphs have at most',
  characters_per_word: 'number of characters its words have at most',
  keywords: 'key words it uses',
  punctuation: 'punctuation mark it does without',
};

/** A conversation that ends with constraints of the root, or its refined instruction, or both; undefined: there is nothing to ask for. */
export function reverseRow(
  { root, shots }: Group,
  types: readonly ConstraintType[],
  settings: Reverse,
  random: Random,
): Conversation | undefined {
  const pairs = [...shots, root].map(({ value }) => value);
  const about = new Map<string, string>([...types.map(({ name, about }) => [name, about] as const), ...Object.entries(aboutRules)]);
  const common = root.value.constraints.flatMap(({ type }) =>
    about.has(type) && pairs.every((pair) => textOf(pair, type) !== undefined) ? type : [],
  );

  const refined = random() < settings.refined && pairs.every((pair) => pair.refined !== null);
  const additional = random() < settings.additional || !refined;
  const named = additional ? drawSample(common, drawCount(common.length, settings.constraints, settings.anyNumber, random), random) : [];
  const others = additional && pairs.every((pair) => pair.constraints.length > named.length) && random() < settings.others;
  if (!refined && named.length === 0 && !others) return undefined;

  const overview = random() < settings.overview;
  const { ask, answer } = drawRequest({ overview, refined, types: named.map((type) => about.get(type)!), others }, random);
  const messages = pairs.flatMap((pair) => {
    const rest = pair.constraints.filter(({ type }) => !named.includes(type));
    const texts = [...named.map((type) => textOf(pair, type)!), ...(others ? [pick(rest, random).text] : [])];
    return withReply(user(ask(pair.instruction, pair.response)), answer(refined ? pair.refined : null, texts)).messages;
  });
  return { messages };
}
const textOf = (pair: Tidied, type: string): string | undefined => pair.constraints.find((one) => one.type === type)?.text;
