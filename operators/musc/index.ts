/** The work of MuSC on records: pairs of answers that differ in what was demanded, and how sure the model is of each token (2502.11541). */
import { z } from 'zod';
import {
  drop,
  filter,
  keep,
  operator,
  scorer,
  reducer,
  type ScoreRequest,
  type Dataset,
  type Scored as Answer,
  type MaybePromise,
} from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { sampling } from '../../schemas/sampling.ts';
import { wholeReply } from '../reply.ts';
import { instructionIn, partsIn, taskIn, verdictIn } from './parse.ts';
import { contrast, demo, demosIn, noised, query, same, scored, taken, twins, type Confidence, type Demo, type Twins } from './records.ts';
import { toInvent, toPutTogether, toTakeApart } from './shots.ts';

export { corrupt, corruptBy } from './corrupt.ts';
export { instruct, judge, makeUp, makeUpAnew, negate, putTogether, substitute, takeApart, toPair, toWeighted } from './prompts.ts';
export { weigh } from './weigh.ts';

const asking = <const K extends string>(...prompts: K[]) =>
  z.object({ prompts: z.object(Object.fromEntries(prompts.map((name) => [name, registered])) as Record<K, typeof registered>), sampling });

/** Of two instructions that say the same there is nothing to contrast: their answers are two samples of one prompt. */
const apart = (twins: Twins) => (same(twins.instruction, twins.corrupted) ? drop('same', twins.instruction) : keep(twins));

/** A1: what an instruction demands, and the text that it is about. */
export const decompose = operator({
  version: 3,
  input: query,
  output: taken,
  params: asking('decompose').extend({ demos: z.custom<Dataset<Demo>>().exactOptional() }),
  roles: ['self'],
  capabilities: ['chat', 'prefill'],
  stochastic: () => true, // its demonstrations, at any temperature
  async run({ instruction }, context, { prompts, sampling, demos: given = [] }) {
    const demos = demosIn(given);
    const shots = toTakeApart(demos, context.random('shots'));
    const said = await wholeReply(context, 'self', context.prompt(prompts.decompose, { instruction, shots }), sampling);
    if ('dropped' in said) return said;
    const parts = partsIn(said.text);
    if (parts === undefined) return drop('no-constraints', said.text);
    return keep({ instruction, ...parts, shots: toPutTogether(demos, parts.input, context.random('shots again')) });
  },
});

/** A3 and A4: one instruction with all constraints, and one with those that the noise has left, by the same demonstrations. */
export const recombine = operator({
  version: 4,
  input: noised,
  output: twins,
  params: asking('recombine'),
  roles: ['self'],
  capabilities: ['chat', 'prefill'],
  calls: () => 2,
  async run({ instruction: original, input, shots, constraints, corrupted, touched }, context, { prompts, sampling }) {
    const both = await Promise.all(
      [constraints, corrupted].map((constraints) =>
        wholeReply(context, 'self', context.prompt(prompts.recombine, { constraints, input, shots }), sampling),
      ),
    );
    const instructions: string[] = [];
    for (const said of both) {
      if ('dropped' in said) return said;
      const instruction = instructionIn(said.text);
      if (instruction === undefined) return drop('no-instruction', said.text);
      instructions.push(instruction);
    }
    return apart({ original, instruction: instructions[0]!, corrupted: instructions[1]!, touched });
  },
});

/** The same without a model, for constraints that are sentences of an instruction. */
export const join = operator({
  version: 2,
  input: noised,
  output: twins,
  run({ instruction: original, input, constraints, corrupted, touched }) {
    const joined = (sentences: readonly string[]) => [sentences.join(' '), ...(input === null ? [] : [input])].join('\n\n');
    return apart({ original, instruction: joined(constraints), corrupted: joined(corrupted), touched });
  },
});

/** Draws the demonstrations of so many instructions that are to be made up. */
export const drawShots = reducer<
  { readonly demos: MaybePromise<Dataset<Demo>> },
  Dataset<{ readonly shots: Demo[] }>,
  { readonly count: number }
>({
  version: 2,
  params: z.object({ count: z.int().min(1) }),
  stochastic: () => true,
  skipsConservation: true,
  maxRows: (_, { count }) => count,
  async *run({ demos }, { count }, { random, derive }) {
    const given: unknown[] = [];
    for await (const { value } of demos) given.push(value);
    const values = demosIn(given);
    const lots = random('shots');
    for (let n = 0; n < count; n++) yield { record: derive({ n, shots: toInvent(values, lots) }, []) };
  },
});

/** B1: an instruction that the model makes up, its constraints first. */
export const invent = operator({
  version: 3,
  input: z.object({ shots: z.array(demo) }),
  output: taken,
  params: asking('invent'),
  roles: ['self'],
  capabilities: ['chat', 'prefill'],
  async run({ shots }, context, { prompts, sampling }) {
    const said = await wholeReply(context, 'self', context.prompt(prompts.invent, { shots }), sampling);
    if ('dropped' in said) return said;
    const made = taskIn(said.text);
    return made === undefined ? drop('no-task', said.text) : keep({ ...made, input: null, shots });
  },
});

/** B3: the same once more, for the constraints that the noise has left. */
export const reinvent = operator({
  version: 4,
  input: noised,
  output: twins,
  params: asking('reinvent'),
  roles: ['self'],
  capabilities: ['chat', 'prefill'],
  async run({ instruction, shots, corrupted: constraints, touched }, context, { prompts, sampling }) {
    const said = await wholeReply(context, 'self', context.prompt(prompts.reinvent, { shots, constraints }), sampling);
    if ('dropped' in said) return said;
    const corrupted = instructionIn(said.text);
    return corrupted === undefined ? drop('no-instruction', said.text) : apart({ original: instruction, instruction, corrupted, touched });
  },
});

/** R: an answer to each of the two instructions. As a control, both to the whole one. */
export const respond = operator({
  version: 2,
  input: twins,
  output: contrast,
  params: asking('respond').extend({ rejected: z.enum(['corrupted', 'instruction']).default('corrupted') }),
  roles: ['self'],
  capabilities: ['chat'],
  calls: () => 2,
  async run(pair, context, { prompts, sampling, rejected: from }) {
    const [chosen, rejected] = await Promise.all(
      [pair.instruction, pair[from]].map((instruction) =>
        wholeReply(context, 'self', context.prompt(prompts.respond, { instruction }), sampling),
      ),
    );
    if ('dropped' in chosen!) return chosen;
    if ('dropped' in rejected!) return rejected;
    return chosen!.text === rejected!.text
      ? drop('equal', chosen!.text)
      : keep({ ...pair, chosen: chosen!.text, rejected: rejected!.text });
  },
});

/** Whether a rejected answer lacks something: where it meets all that was touched, there is nothing to learn from its pair. */
export const verify = operator({
  version: 3,
  input: contrast,
  output: contrast,
  params: asking('verify'),
  roles: ['self'],
  capabilities: ['chat'],
  calls: () => Infinity,
  async run(pair, context, { prompts, sampling }) {
    const { instruction, rejected: response, touched } = pair;
    // One after the other: the first that is not met settles it.
    for (const constraint of touched) {
      const said = await wholeReply(context, 'self', context.prompt(prompts.verify, { instruction, response, constraint }), sampling);
      if ('dropped' in said) return said;
      const met = verdictIn(said.text);
      if (met === undefined) return drop('no-verdict', said.text);
      if (!met) return keep(pair);
    }
    return drop('complies', touched.join(' | '));
  },
});

/** Of instructions that the model made up: so many at most that open with one verb and ask for a recipe, a story or a trip. */
export const capTopics = filter<{ readonly instruction: string }, { readonly perTopic: number }>({
  version: 1,
  params: z.object({ perTopic: z.int().min(1) }),
  async *run({ of }, { perTopic }) {
    const seen = new Map<string, number>();
    for await (const record of of) {
      const topic = topicOf(record.value.instruction);
      const before = seen.get(topic ?? '') ?? 0;
      if (topic !== undefined) seen.set(topic, before + 1);
      if (topic !== undefined && before >= perTopic) yield { record, dropped: 'topic', evidence: topic };
      else yield { record };
    }
  },
});
function topicOf(instruction: string): string | undefined {
  const [, verb, topic] = /^\W*([a-z]+) an? [^.!?\n]*?\b(recipe|story|travel)\b/i.exec(instruction) ?? [];
  return verb && `${verb} a ${topic}`.toLowerCase();
}

/** S: both answers under both instructions, and under none where that is asked for. */
export const measureConfidence = scorer({
  version: 1,
  input: contrast,
  output: scored,
  params: z.object({ prompts: z.object({ respond: registered }), unconditional: z.boolean() }),
  role: 'self',
  batch: true,
  ask({ instruction, corrupted, chosen, rejected }, context, { prompts, unconditional }) {
    const under = (instruction: string) => context.prompt(prompts.respond, { instruction });
    const asked = (continuation: string, own: string, other: string): ScoreRequest[] => [
      { prompt: under(own), continuation, includeEos: true, secondPrompt: under(other) },
      ...(unconditional ? [{ prompt: under(''), continuation, includeEos: true } as const] : []),
    ];
    return [...asked(chosen, instruction, corrupted), ...asked(rejected, corrupted, instruction)];
  },
  take(pair, answers) {
    const [chosen, rejected] = [answers.slice(0, answers.length / 2), answers.slice(answers.length / 2)].map(confidenceOf);
    return keep({ ...pair, confidence: { chosen: chosen!, rejected: rejected! } });
  },
});

function confidenceOf([answer, alone]: readonly Answer[]): Confidence {
  const { tokens, hash } = answer!;
  const seconds = tokens.map((token) => token.second!);
  return {
    hash: hash!,
    ids: tokens.map(({ id }) => id),
    own: tokens.map(({ logprob }) => logprob),
    ownEntropy: tokens.map(({ entropy }) => entropy!),
    other: seconds.map(({ logprob }) => logprob),
    otherEntropy: seconds.map(({ entropy }) => entropy),
    kl: seconds.map(({ kl }) => kl),
    reverseKl: seconds.map(({ reverseKl }) => reverseKl),
    none: alone ? alone.tokens.map(({ logprob }) => logprob) : null,
  };
}
