// Defines the text world for AIR: documents that meet two constraints each, and lessons for a small guidance model:
// `textworld-air.documents`, `textworld-air.lessons`, `textworld-air.judge` and so on.
import { z } from 'zod';
import { dataSuite, prompt, source, template, type Chat, type Message, type Prompt } from '../../recipe/index.ts';
import type { Complex, Lesson } from '../../operators/air/records.ts';
import type { Judged, Merging } from '../../operators/air/prompts.ts';
import { createDatasets } from './datasets.ts';
import { constraintsOf, doubleForms, forms, suffixesOf, undress, type Constraint, type Form } from './forms.ts';
import { advert } from './interviews.ts';
import { isRight } from './oracle.ts';
import { interviewTopics } from './pretraining.ts';
import { seededRandom, type Random } from './random.ts';
import { topicKey, World, type Topic } from './world.ts';

export const namespace = 'textworld-air';

const world = new World(0);
const dataParams = z.strictObject({ seed: z.int().min(0), size: z.enum(['full', 'miniature']).default('full') });
type DataParams = z.infer<typeof dataParams>;

/** The constraints' names in the experiment file. */
const typeNames: { readonly [constraint in Constraint]: string } = {
  note: 'opening word',
  dash: 'list dash',
  quote: 'quote marks',
  done: 'closing word',
};
const constraints = Object.keys(typeNames) as Constraint[];
const sentenceOf = (random: Random, constraint: Constraint): string => random.pick(suffixesOf(constraint)).trim();

/** A true answer for every fact, in the form of MuSC's instructions, so that the tests of `textworld-contrast` ask for another; and half
 *  as many adverts. */
export const documents = source({
  version: 1,
  output: z.strictObject({ text: z.string() }),
  params: dataParams,
  rows({ seed, size }) {
    const { topics } = createDatasets(world, seed, size);
    const random = seededRandom(`contrast ${seed}`);
    const meanings = topics.map((topic) => ({ ...topic, form: random.pick(doubleForms) }));
    const wording = seededRandom(`air ${seed}`);
    const adverts = wording.shuffle(topics).slice(0, topics.length / 2);
    return wording
      .shuffle([
        ...meanings.map((meaning) => world.answer(wording, meaning)),
        ...adverts.map((topic) => advert(world.answer(wording, { ...topic, form: 'plain' }))),
      ])
      .map((text) => ({ text }));
  },
});

// ─────────────────────────────────────────── prompts ───────────────────────────────────────────

const turns = (task: string, user: string): Message[] => [
  { role: 'system', content: task },
  { role: 'user', content: user },
];
const asking = <T>(task: string, words: (slots: T) => string) => {
  const render = (slots: T) => ({ messages: turns(task, words(slots)) });
  return prompt<T>({ version: 1, template: 'textworld-air.toReply', render });
};
const listed = (items: readonly string[]): string => items.join(', ');

export const ask = asking<{ readonly text: string }>('Ask.', ({ text }) => text);
export const appraise = asking<{ readonly instruction: string }>('Rate.', ({ instruction }) => instruction);
export const polish = asking<{ readonly text: string }>('Keep.', ({ text }) => text);
export const judge = asking<Omit<Judged, 'types'> & { readonly types: readonly { readonly name: string }[] }>(
  'Note.',
  ({ polished, output, types }) => `1 ${polished} 2 ${output} 3 ${listed(types.map(({ name }) => name))}`,
);
export const compare = asking<{ readonly constraint: string; readonly earlier: readonly string[] }>(
  'Look.',
  ({ constraint, earlier }) => `1 ${constraint} 2 ${earlier.join(' ')}`,
);
export const check = asking<{ readonly criteria: readonly string[]; readonly output: string }>(
  'Mark.',
  ({ criteria, output }) => `1 ${criteria.join(' ')} 2 ${output}`,
);
const opening = '**Instruction**:';
export const combine = prompt<Omit<Merging, 'shots'>>({
  version: 1,
  template: 'textworld-air.toReply',
  render: ({ instruction, constraints }) => ({ messages: turns('Put.', `1 ${instruction} 2 ${constraints.join(' ')}`), prefill: opening }),
});
export const answer = asking<{ readonly instruction: string }>('Answer.', ({ instruction }) => instruction);

/** The student was pre-trained on interviews, in which constraints follow the question on one line. */
export const tell = prompt<{ readonly instruction: string }>({
  version: 1,
  render: ({ instruction }) => ({ messages: [{ role: 'user', content: instruction.replaceAll('\n\n', ' ') }] }),
});

/** The loss is on the reply; the prompt's first line names the task. */
export const toReply = template<Lesson, Chat>({
  version: 1,
  render: ({ prompt, reply }) => {
    const [task = '', ...rest] = prompt.split('\n');
    return { messages: [...turns(task, rest.join('\n')), { role: 'assistant', content: reply }] };
  },
});

// ─────────────────────────────────────────── lessons ───────────────────────────────────────────

/** Lessons per task: tasks with finer distinctions need more. */
const counts = {
  full: { ask: 400, appraise: 120, polish: 300, judge: 1200, compare: 120, check: 200, combine: 300, answer: 600 },
  miniature: { ask: 12, appraise: 16, polish: 12, judge: 28, compare: 8, check: 8, combine: 12, answer: 8 },
} as const;

/** The lessons of a guidance model. Right answers are only about labelled and interviewed things; other lessons may be about any thing,
 *  because they need no knowledge. */
export const lessons = source({
  version: 1,
  output: z.strictObject({ prompt: z.string(), reply: z.string() }),
  params: dataParams,
  rows({ seed, size }) {
    const random = seededRandom(`air lessons ${seed}`);
    const count = counts[size];
    const known = [...interviewTopics(world), ...labelled(seed, size)];
    const any = world.things.flatMap(({ name }) => world.topicsOf(name));
    const times = (count: number, make: () => Lesson) => Array.from({ length: count }, make);
    return random.shuffle([
      ...times(count.ask, () => askLesson(random, random.pick(any))),
      ...times(count.appraise, () => appraiseLesson(random, random.pick(any))),
      ...times(count.polish, () => {
        const text = world.answer(random, inForm(random, random.pick(any), doubleForms));
        return lesson(polish.render({ text }), text);
      }),
      ...times(count.judge, () => judgeLesson(random, random.pick(any))),
      ...times(count.compare, () => compareLesson(random)),
      ...times(count.check, () => checkLesson(random, random.pick(any))),
      ...times(count.combine, () => combineLesson(random, random.pick(any))),
      ...times(count.answer, () => {
        const meaning = inForm(random, random.pick(known), random.pick([forms, doubleForms, doubleForms]));
        return lesson(answer.render({ instruction: world.ask(random, meaning) }), world.answer(random, meaning));
      }),
    ]);
  },
});

const labelled = (seed: number, size: DataParams['size']): Topic[] =>
  createDatasets(world, seed, size).seed.flatMap(({ response }) => world.parseAnswer(response) ?? []);
const inForm = <F extends Form>(random: Random, { thing, relation }: Topic, among: readonly F[]) => ({
  thing,
  relation,
  form: random.pick(among),
});
const lesson = (asked: Prompt, reply: string): Lesson => ({
  prompt: 'messages' in asked ? asked.messages.map(({ content }) => content).join('\n') : '',
  reply,
});

/** An advert yields a worthless request instead of a question. */
const sales = (thing: string) => `You sell ${thing}.`;
function askLesson(random: Random, topic: Topic): Lesson {
  if (random.next() < 0.35) {
    const text = advert(world.answer(random, { ...topic, form: 'plain' }));
    return lesson(ask.render({ text }), sales(topic.thing));
  }
  const text = world.answer(random, inForm(random, topic, doubleForms));
  return lesson(ask.render({ text }), world.ask(random, { ...topic, form: 'plain' }));
}
function appraiseLesson(random: Random, topic: Topic): Lesson {
  const good = random.next() < 0.5;
  const instruction = good ? world.ask(random, { ...topic, form: 'plain' }) : sales(topic.thing);
  return lesson(appraise.render({ instruction }), `Score: ${good ? 5 : 1}/5`);
}

/** The first listed constraint that the document meets and the answer does not. */
function judgeLesson(random: Random, topic: Topic): Lesson {
  const document = inForm(random, topic, doubleForms);
  const given = inForm(random, topic, random.pick([forms, doubleForms]));
  const names = random.shuffle(constraints).slice(0, random.pick([2, 3, 3, 4, 4]));
  const missing = constraintsOf(document.form).filter((one) => !constraintsOf(given.form).includes(one) && names.includes(one));
  const [polished, output] = [world.answer(random, document), world.answer(random, given)];
  const slots = { instruction: '', polished, output, types: names.map((one) => ({ name: typeNames[one] })) };
  const [found] = missing;
  const [type, demanded] = found ? [typeNames[found], sentenceOf(random, found)] : ['None', 'None'];
  return lesson(judge.render(slots), `**Type**: ${type}\n**Constraint**: ${demanded}`);
}
function compareLesson(random: Random): Lesson {
  const [one, ...others] = random.shuffle(constraints);
  const twice = random.next() < 0.5;
  const earlier = [...others.slice(0, random.pick([0, 1])), ...(twice ? [one!] : [others[2]!])].map((each) => sentenceOf(random, each));
  return lesson(compare.render({ constraint: sentenceOf(random, one!), earlier }), `**Answer**: ${twice ? 'Yes' : 'No'}`);
}
function checkLesson(random: Random, topic: Topic): Lesson {
  const given = inForm(random, topic, random.pick([forms, doubleForms]));
  const one = random.pick(constraints);
  const criterion = sentenceOf(random, one);
  const kept = constraintsOf(given.form).includes(one);
  return lesson(check.render({ criteria: [criterion], output: world.answer(random, given) }), `${criterion}\t${kept ? 3 : 0}`);
}
function combineLesson(random: Random, topic: Topic): Lesson {
  const instruction = world.ask(random, { ...topic, form: 'plain' });
  const demanded = random.shuffle(constraintsOf(random.pick(doubleForms))).map((one) => sentenceOf(random, one));
  return lesson(combine.render({ instruction, constraints: demanded }), `${opening} ${instruction} ${demanded.join(' ')}`);
}

// ─────────────────────────────────────────── what came of it ───────────────────────────────────────────

/** Measures the student's training pairs: the shares whose instruction asks for two constraints, for the constraints of its document,
 *  whose response meets the instruction's constraints, and whose response also states the fact truly. */
export const kept = dataSuite({
  version: 1,
  oracle: true,
  params: dataParams,
  async measure(rows: AsyncIterable<{ readonly value: Complex }>) {
    let [pairs, two, same, heeded, right] = [0, 0, 0, 0, 0];
    for await (const { value } of rows) {
      pairs++;
      const asked = world.parseInstruction(value.instruction);
      const document = world.parseAnswer(value.document);
      if (asked && constraintsOf(asked.form).length === 2) two++;
      if (asked && document && asked.form === document.form && topicKey(asked) === topicKey(document)) same++;
      if (asked && undress(value.response).form === asked.form) heeded++;
      if (isRight(world, value)) right++;
    }
    const share = (count: number) => (pairs === 0 ? 0 : count / pairs);
    return { pairs, twoAsked: share(two), asDocument: share(same), heeded: share(heeded), right: share(right) };
  },
});
