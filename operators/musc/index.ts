/** Exports the operators of MuSC: pairs of answers that differ in their constraints, with the model's confidence in each token
 *  (2502.11541). */
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
import { parseInstruction, parseParts, parseTask, parseVerdict } from './parse.ts';
import {
  contrast,
  demo,
  parseDemos,
  noised,
  query,
  sameText,
  scored,
  taken,
  twins,
  type Confidence,
  type Demo,
  type Twins,
} from './records.ts';
import { shotsForInvent, shotsForRecombine, shotsForDecompose } from './shots.ts';

export { corrupt, corruptBy } from './corrupt.ts';
export { instruct, judge, makeUp, makeUpAnew, negate, putTogether, substitute, takeApart, toPair, toWeighted } from './prompts.ts';
export { weigh } from './weigh.ts';

const paramsFor = <const K extends string>(...prompts: K[]) =>
  z.object({ prompts: z.object(Object.fromEntries(prompts.map((name) => [name, registered])) as Record<K, typeof registered>), sampling });

/** Drops a pair of equal instructions: their answers would be two samples of one prompt. */
const dropIfSame = (twins: Twins) => (sameText(twins.instruction, twins.corrupted) ? drop('same', twins.instruction) : keep(twins));

/** A1: decomposes an instruction into its constraints and the text that it is about. */
export const decompose = operator({
  version: 3,
  input: query,
  output: taken,
  params: paramsFor('decompose').extend({ demos: z.custom<Dataset<Demo>>().exactOptional() }),
  roles: ['self'],
  capabilities: ['chat', 'prefill'],
  stochastic: () => true, // random demonstrations, even at temperature 0
  async run({ instruction }, context, { prompts, sampling, demos: given = [] }) {
    const demos = parseDemos(given);
    const shots = shotsForDecompose(demos, context.random('shots'));
    const reply = await wholeReply(context, 'self', context.prompt(prompts.decompose, { instruction, shots }), sampling);
    if ('dropped' in reply) return reply;
    const parts = parseParts(reply.text);
    if (parts === undefined) return drop('no-constraints', reply.text);
    return keep({ instruction, ...parts, shots: shotsForRecombine(demos, parts.input, context.random('shots again')) });
  },
});

/** A3 and A4: writes one instruction with all constraints and one with the corrupted constraints, with the same demonstrations. */
export const recombine = operator({
  version: 4,
  input: noised,
  output: twins,
  params: paramsFor('recombine'),
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
    for (const reply of both) {
      if ('dropped' in reply) return reply;
      const instruction = parseInstruction(reply.text);
      if (instruction === undefined) return drop('no-instruction', reply.text);
      instructions.push(instruction);
    }
    return dropIfSame({ original, instruction: instructions[0]!, corrupted: instructions[1]!, touched });
  },
});

/** The same without a model, for constraints that are sentences of an instruction. */
export const join = operator({
  version: 2,
  input: noised,
  output: twins,
  run({ instruction: original, input, constraints, corrupted, touched }) {
    const joined = (sentences: readonly string[]) => [sentences.join(' '), ...(input === null ? [] : [input])].join('\n\n');
    return dropIfSame({ original, instruction: joined(constraints), corrupted: joined(corrupted), touched });
  },
});

/** Draws the demonstrations for `count` instructions to invent. */
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
    const values = parseDemos(given);
    const lots = random('shots');
    for (let n = 0; n < count; n++) yield { record: derive({ n, shots: shotsForInvent(values, lots) }, []) };
  },
});

/** B1: the model invents an instruction, its constraints first. */
export const invent = operator({
  version: 3,
  input: z.object({ shots: z.array(demo) }),
  output: taken,
  params: paramsFor('invent'),
  roles: ['self'],
  capabilities: ['chat', 'prefill'],
  async run({ shots }, context, { prompts, sampling }) {
    const reply = await wholeReply(context, 'self', context.prompt(prompts.invent, { shots }), sampling);
    if ('dropped' in reply) return reply;
    const made = parseTask(reply.text);
    return made === undefined ? drop('no-task', reply.text) : keep({ ...made, input: null, shots });
  },
});

/** B3: the same again, for the corrupted constraints. */
export const reinvent = operator({
  version: 4,
  input: noised,
  output: twins,
  params: paramsFor('reinvent'),
  roles: ['self'],
  capabilities: ['chat', 'prefill'],
  async run({ instruction, shots, corrupted: constraints, touched }, context, { prompts, sampling }) {
    const reply = await wholeReply(context, 'self', context.prompt(prompts.reinvent, { shots, constraints }), sampling);
    if ('dropped' in reply) return reply;
    const corrupted = parseInstruction(reply.text);
    return corrupted === undefined
      ? drop('no-instruction', reply.text)
      : dropIfSame({ original: instruction, instruction, corrupted, touched });
  },
});

/** R: answers both instructions. As a control, answers the complete instruction twice. */
export const respond = operator({
  version: 2,
  input: twins,
  output: contrast,
  params: paramsFor('respond').extend({ rejected: z.enum(['corrupted', 'instruction']).default('corrupted') }),
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

/** Drops a pair if the rejected answer meets all corrupted constraints, because it teaches nothing. */
export const verify = operator({
  version: 3,
  input: contrast,
  output: contrast,
  params: paramsFor('verify'),
  roles: ['self'],
  capabilities: ['chat'],
  calls: () => Infinity,
  async run(pair, context, { prompts, sampling }) {
    const { instruction, rejected: response, touched } = pair;
    // In sequence: the first unmet constraint decides.
    for (const constraint of touched) {
      const reply = await wholeReply(context, 'self', context.prompt(prompts.verify, { instruction, response, constraint }), sampling);
      if ('dropped' in reply) return reply;
      const met = parseVerdict(reply.text);
      if (met === undefined) return drop('no-verdict', reply.text);
      if (!met) return keep(pair);
    }
    return drop('complies', touched.join(' | '));
  },
});

/** Keeps at most `perTopic` invented instructions that open with the same verb and ask for the same topic: a recipe, a story or a trip. */
export const capTopics = filter<{ readonly instruction: string }, { readonly perTopic: number }>({
  version: 1,
  params: z.object({ perTopic: z.int().min(1) }),
  async *run({ of }, { perTopic }) {
    const seen = new Map<string, number>();
    for await (const record of of) {
      const topic = findTopic(record.value.instruction);
      const before = seen.get(topic ?? '') ?? 0;
      if (topic !== undefined) seen.set(topic, before + 1);
      if (topic !== undefined && before >= perTopic) yield { record, dropped: 'topic', evidence: topic };
      else yield { record };
    }
  },
});
function findTopic(instruction: string): string | undefined {
  const [, verb, topic] = /^\W*([a-z]+) an? [^.!?\n]*?\b(recipe|story|travel)\b/i.exec(instruction) ?? [];
  return verb && `${verb} a ${topic}`.toLowerCase();
}

/** S: scores both answers under both instructions, and on request under none. */
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
