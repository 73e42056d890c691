/** Plays models that do their work on the text world without a mistake, and so shows what the data of an experiment allow. */
import { constraintsOf, dress, forms, parseSuffixes, suffixesOf } from '../../examples/textworld/forms.ts';
import { kinds, relations, relationsOf } from '../../examples/textworld/relations.ts';
import { World } from '../../examples/textworld/world.ts';

const world = new World(0);

interface Stated {
  readonly subject: string;
  readonly questions: readonly string[];
}
const fill = (pattern: string, subject: string, value = '') => pattern.replace('{thing}', subject).replace('{value}', value);
/** Every statement about a thing, a person or "it", true or not. */
const statements = new Map<string, Stated>();
const subjects = [
  ...world.things.map(({ name, kind }) => [name, kind] as const),
  ...['it', ...relations.town.founder.values].flatMap((subject) => kinds.map((kind) => [subject, kind] as const)),
];
for (const [subject, kind] of subjects)
  for (const relation of Object.values(relationsOf(kind)))
    for (const value of relation.values)
      for (const statement of relation.statements)
        statements.set(fill(statement, subject, value), { subject, questions: relation.questions.map((one) => fill(one, subject)) });

const sentencesOf = (text: string): string[] =>
  [...text.matchAll(/[A-Z][^.:]*\./g)].flatMap(([sentence]) => (statements.has(sentence) ? [sentence] : []));

/** Asks for the first statement of a text in the form that it has there. */
export function askFor(text: string): string {
  const [first] = sentencesOf(text);
  if (first === undefined) throw new Error(`${text} states nothing`);
  const form = forms.toReversed().find((one) => text.startsWith(dress(first, one))) ?? 'plain';
  return statements.get(first)!.questions[0]! + constraintsOf(form).map((constraint) => suffixesOf(constraint)[0]);
}

/** Answers an instruction with the sentence of the draft that it asks for, in the form that it asks for. */
export function rewrite(instruction: string, draft: string): string {
  const end = instruction.indexOf('?') + 1;
  const sentence = sentencesOf(draft).find((one) => statements.get(one)!.questions.includes(instruction.slice(0, end)));
  if (sentence === undefined) throw new Error(`${draft} does not answer ${instruction}`);
  return dress(sentence, parseSuffixes(instruction.slice(end))!);
}
