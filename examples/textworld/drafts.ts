// Generates drafts for Back-and-Forth and Kun: texts that state a fact in some form, with or without clutter. And lessons in rewriting a
// draft into the answer to an instruction.
import { dress, forms } from './forms.ts';
import { isAdvert, type Pair } from './interviews.ts';
import type { Random } from './random.ts';
import { World, type Topic } from './world.ts';

/** The share of drafts without clutter. */
const CLEAN = 0.15;

/** The corpus's answers. In most of them another fact about the same thing follows, so that the text answers no question. */
export function drafts(world: World, random: Random, corpus: readonly string[]): string[] {
  return corpus
    .filter((text) => !isAdvert(text))
    .map((answer) => {
      const { thing, relation } = world.parseAnswer(answer)!;
      const others = world.topicsOf(thing).filter((topic) => topic.relation !== relation);
      return random.next() < CLEAN ? answer : `${answer} ${world.answer(random, { ...random.pick(others), form: 'plain' })}`;
    });
}

/** Whether a true statement of what the instruction asks for stands in the text, in whatever form. */
export function isDraftOf(world: World, { instruction, response }: Pair): boolean {
  const asked = world.parseInstruction(instruction);
  return asked !== null && world.answers({ ...asked, form: 'plain' }).some((sentence) => response.includes(sentence));
}

export interface Rewriting {
  readonly instruction: string;
  readonly draft: string;
  /** The sentence of the draft that the instruction asks for. */
  readonly sentence: string;
  /** The sentence in the form that the instruction asks for. */
  readonly answer: string;
}

/** In another world the same names belong to other things. */
const elsewhere = new World(1);

/** The things elsewhere whose namesake in this world is of another kind. */
export const namesakes = (world: World): string[] =>
  elsewhere.things.flatMap(({ name, kind }) => (world.kindOf(name) === kind ? [] : [name]));

/** A lesson about a namesake, with random values: it teaches a model to copy a sentence in the form asked for, and no fact of the world. */
export const invented = (random: Random, thing: string): Rewriting =>
  rewriting(elsewhere, random, thing, (topic) => random.pick([elsewhere.valueOf(topic), ...elsewhere.falseValuesOf(topic)]));

/** A lesson about two relations of a thing, with true values unless `valueOf` says otherwise. */
export function rewriting(world: World, random: Random, thing: string, valueOf = (topic: Topic) => world.valueOf(topic)): Rewriting {
  const [asked, other] = random.shuffle(world.topicsOf(thing));
  const stated = (topic: Topic) => world.answer(random, { ...topic, form: 'plain' }, valueOf(topic));
  const [sentence, clutter] = [stated(asked!), stated(other!)];
  const [form, found] = [random.pick(forms), random.pick(forms)];
  const draft = random.pick([dress(sentence, found), `${dress(sentence, found)} ${clutter}`, `${dress(clutter, found)} ${sentence}`]);
  return { instruction: world.ask(random, { ...asked!, form }), draft, sentence, answer: dress(sentence, form) };
}
