// Generates and parses the text world: 240 invented things with four relations each, 960 facts. Every sentence can be parsed back exactly,
// so that an oracle can judge a model's replies.
import { constraintsOf, dress, parseSuffixes, suffixesOf, undress, type Form } from './forms.ts';
import { seededRandom, type Random } from './random.ts';
import { kinds, nameEnds, nameStarts, relationsOf, type Kind, type Relation } from './relations.ts';

export interface Thing {
  readonly name: string;
  readonly kind: Kind;
}

/** One thing and one of its relations. */
export interface Topic {
  readonly thing: string;
  readonly relation: string;
}

/** The meaning of an instruction and of its answer: a fact in a form. */
export interface Meaning extends Topic {
  readonly form: Form;
}

const thingsPerKind = 60;

export class World {
  readonly things: readonly Thing[];
  readonly #kinds: ReadonlyMap<string, Kind>;
  readonly #facts = new Map<string, string>();
  // All questions and all true statements without a form, 2,880 each, so that parsing is a look-up.
  readonly #questions = new Map<string, Topic>();
  readonly #statements = new Map<string, Topic>();

  constructor(seed: number) {
    const random = seededRandom(`world ${seed}`);
    const names = random.shuffle(nameStarts.flatMap((start) => nameEnds.map((end) => start + end)));
    this.things = kinds.flatMap((kind, index) =>
      names.slice(index * thingsPerKind, (index + 1) * thingsPerKind).map((name) => ({ name, kind })),
    );
    this.#kinds = new Map(this.things.map(({ name, kind }) => [name, kind]));
    for (const topic of this.things.flatMap((thing) => this.topicsOf(thing.name))) {
      const { values, statements, questions } = this.#relation(topic);
      const value = random.pick(values);
      this.#facts.set(topicKey(topic), value);
      for (const question of questions) this.#questions.set(fill(question, topic.thing), topic);
      for (const statement of statements) this.#statements.set(fill(statement, topic.thing, value), topic);
    }
  }

  kindOf(thing: string): Kind {
    const kind = this.#kinds.get(thing);
    if (kind === undefined) throw new RangeError(`The text world has nothing called "${thing}".`);
    return kind;
  }

  topicsOf(thing: string): Topic[] {
    return Object.keys(relationsOf(this.kindOf(thing))).map((relation) => ({ thing, relation }));
  }

  /** The true value of a topic. */
  valueOf(topic: Topic): string {
    const value = this.#facts.get(topicKey(topic));
    if (value === undefined) throw new RangeError(`The text world knows no ${topic.relation} of "${topic.thing}".`);
    return value;
  }

  /** Other values, which are false. */
  falseValuesOf(topic: Topic): string[] {
    return this.#relation(topic).values.filter((value) => value !== this.valueOf(topic));
  }

  /** Returns an instruction for the fact in the form, in one of its wordings. */
  ask(random: Random, { form, ...topic }: Meaning): string {
    const question = fill(random.pick(this.#relation(topic).questions), topic.thing);
    return (
      question +
      random
        .shuffle(constraintsOf(form))
        .map((constraint) => random.pick(suffixesOf(constraint)))
        .join('')
    );
  }

  /** Returns an answer that states the fact in the form, in one of its wordings; a false one for a false value. */
  answer(random: Random, meaning: Meaning, value: string = this.valueOf(meaning)): string {
    return random.pick(this.answers(meaning, value));
  }

  /** All three wordings. */
  answers({ form, ...topic }: Meaning, value: string = this.valueOf(topic)): string[] {
    return this.#relation(topic).statements.map((statement) => dress(fill(statement, topic.thing, value), form));
  }

  /** Parses an instruction; null if it is not one of this world's. */
  parseInstruction(text: string): Meaning | null {
    const end = text.indexOf('?') + 1;
    const topic = this.#questions.get(text.slice(0, end));
    const form = parseSuffixes(text.slice(end));
    return topic === undefined || form === null ? null : { ...topic, form };
  }

  /** Parses an answer; null if it is false, or not an answer of this world. */
  parseAnswer(text: string): Meaning | null {
    const { sentence, form } = undress(text);
    const topic = this.#statements.get(sentence);
    return topic === undefined || form === null ? null : { ...topic, form };
  }

  #relation({ thing, relation }: Topic): Relation {
    const found = relationsOf(this.kindOf(thing))[relation];
    if (found === undefined) throw new RangeError(`A ${this.kindOf(thing)} of the text world has no ${relation}.`);
    return found;
  }
}

export function sameMeaning(one: Meaning | null, other: Meaning | null): boolean {
  return one !== null && other !== null && topicKey(one) === topicKey(other) && one.form === other.form;
}

export const topicKey = ({ thing, relation }: Topic): string => `${thing} ${relation}`;

function fill(pattern: string, thing: string, value = ''): string {
  return pattern.replace('{thing}', thing).replace('{value}', value);
}
