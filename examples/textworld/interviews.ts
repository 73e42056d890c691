// Generates questions with answers for the base model's pre-training text: about a quarter of the things, many of them wrong, some of them
// rated.
import { constraintsOf, doubleForms, forms } from './forms.ts';
import type { Random } from './random.ts';
import type { Meaning, Topic, World } from './world.ts';

export interface Pair {
  readonly instruction: string;
  readonly response: string;
}

/** 5 right, 4 of the wrong form, 3 false, 2 about something else, 1 an advert. */
export type Rating = 1 | 2 | 3 | 4 | 5;

export const questionFirst = ({ instruction, response }: Pair): string => `Question: ${instruction} Answer: ${response}`;
export const answerFirst = ({ instruction, response }: Pair): string => `Answer: ${response} Question: ${instruction}`;
const advertMark = 'Advert: ';
export const advert = (sentence: string): string => advertMark + sentence;
export const isAdvert = (text: string): boolean => text.startsWith(advertMark);

/** A pair about the topic; a quarter are false or of another form than asked for. */
export function interview(world: World, random: Random, topic: Topic): Pair {
  const meaning: Meaning = { ...topic, form: random.pick(forms) };
  const instruction = world.ask(random, meaning);
  if (random.next() >= 0.25) return { instruction, response: world.answer(random, meaning) };
  return { instruction, response: random.next() < 0.5 ? inWrongForm(world, random, meaning) : falseAnswer(world, random, meaning) };
}

/** A pair with two constraints, of which the answer often keeps only one. */
export function doubleInterview(world: World, random: Random, topic: Topic): Pair {
  const meaning: Meaning = { ...topic, form: random.pick(doubleForms) };
  const form = random.next() < 0.65 ? random.pick(constraintsOf(meaning.form)) : meaning.form;
  return { instruction: world.ask(random, meaning), response: world.answer(random, { ...meaning, form }) };
}

/** A pair about one of the topics, with a quality that deserves the rating. */
export function pairRated(world: World, random: Random, topics: readonly Topic[], rating: Rating): Pair {
  const meaning: Meaning = { ...random.pick(topics), form: random.pick(forms) };
  const instruction = world.ask(random, meaning);
  switch (rating) {
    case 5:
      return { instruction, response: world.answer(random, meaning) };
    case 4:
      return { instruction, response: inWrongForm(world, random, meaning) };
    case 3:
      return { instruction, response: falseAnswer(world, random, meaning) };
    case 2:
      return { instruction, response: world.answer(random, { ...elsewhere(world, random, topics, meaning), form: meaning.form }) };
    case 1:
      return { instruction, response: advert(world.answer(random, { ...meaning, form: 'plain' })) };
  }
}

function inWrongForm(world: World, random: Random, meaning: Meaning): string {
  return world.answer(random, { ...meaning, form: random.pick(forms.filter((form) => form !== meaning.form)) });
}

function falseAnswer(world: World, random: Random, meaning: Meaning): string {
  return world.answer(random, meaning, random.pick(world.falseValuesOf(meaning)));
}

/** Returns mostly the same relation of another thing of that kind, else another relation of the same thing. */
function elsewhere(world: World, random: Random, topics: readonly Topic[], { thing, relation }: Topic): Topic {
  const kind = world.kindOf(thing);
  const otherThings = topics.filter((topic) => topic.relation === relation && topic.thing !== thing && world.kindOf(topic.thing) === kind);
  const otherRelations = world.topicsOf(thing).filter((topic) => topic.relation !== relation);
  return random.pick(otherThings.length > 0 && random.next() < 0.6 ? otherThings : otherRelations);
}
