/** Measures texts: how well their lengths meet a demand, and how good a judge finds them (LonGen of Self-Lengthen, 2410.23933). */
import { z } from 'zod';
import { keep, operator, suite } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { longSampling } from '../../schemas/recipes/self-lengthen.ts';
import { sampling } from '../../schemas/sampling.ts';
import { inSchema, wholeReply } from '../reply.ts';
import { kindOf, lengthDemand, lengthScore } from './lengths.ts';
import { countWords } from './text.ts';

const text = z.string().min(1);
const demanding = z.strictObject({ instruction: text, demand: lengthDemand });
const lengthParams = z.strictObject({
  items: z.array(demanding).min(1).describe('Instructions that demand a length, each with its demand as numbers.'),
  prompt: registered.default('self-lengthen.answer'),
  sampling: sampling.default(longSampling),
});

/** `score`: the mean length score of all texts; `about`, `range`, `above` and `below`: of the texts with such a demand. An instruction
 *  without a whole text scores 0. `words`: mean words of the texts. `answered`: their share. */
export const lonGen = suite({
  version: 1,
  params: lengthParams,
  items: ({ items }) => items,
  ask: operator({
    version: 1,
    input: demanding,
    output: z.object({ response: text, words: z.int() }),
    params: lengthParams,
    roles: ['model'],
    capabilities: ['chat'],
    async run({ instruction }, context, { prompt, sampling }) {
      const reply = await wholeReply(context, 'model', context.prompt(prompt, { instruction }), sampling);
      return 'dropped' in reply ? reply : keep({ response: reply.text, words: countWords(reply.text) });
    },
  }),
  measure(answers): Readonly<Record<string, number>> {
    const scored = answers.map(({ item: { demand }, answer }) => ({
      kind: kindOf(demand),
      score: answer ? lengthScore(demand, answer.words) : 0,
    }));
    const given = answers.flatMap(({ answer }) => answer ?? []);
    return {
      score: mean(scored.map(({ score }) => score)),
      ...Object.fromEntries(
        [...Map.groupBy(scored, ({ kind }) => kind)].map(([kind, some]) => [kind, mean(some.map(({ score }) => score))]),
      ),
      words: mean(given.map(({ words }) => words)),
      answered: given.length / answers.length,
    };
  },
  each: ({ item: { demand }, answer: { words } }) => ({ words, score: lengthScore(demand, words) }),
});

const dimensions = ['Relevance', 'Coherence', 'Accuracy', 'Consistency', 'Clarity', 'Creativity', 'Engagement'] as const;
type Dimension = (typeof dimensions)[number];
const grades = z.object(Object.fromEntries(dimensions.map((name) => [name, z.int().min(1).max(10)])) as Record<Dimension, z.ZodInt>);
type Grades = z.infer<typeof grades>;
const asked = z.strictObject({ instruction: text });
const qualityParams = z.strictObject({
  items: z.array(asked).min(1),
  prompts: z
    .strictObject({ respond: registered.default('self-lengthen.answer'), judge: registered.default('self-lengthen.grade') })
    .prefault({}),
  sampling: z
    .strictObject({ respond: sampling.default(longSampling), judge: sampling.default({ temperature: 0, maxTokens: 2048 }) })
    .prefault({}),
});

/** For each dimension the mean grade, from 1 to 10, and `quality`, the mean over the dimensions. An instruction without a whole text gets 1
 *  in each. `judged`: the share of texts whose grades can be read; the others do not count. */
export const quality = suite({
  version: 1,
  params: qualityParams,
  items: ({ items }) => items,
  ask: operator({
    version: 1,
    input: asked,
    output: z.object({ response: text, grades: grades.nullable(), said: z.string().nullable() }),
    params: qualityParams,
    roles: ['model', 'judge'],
    capabilities: ['chat'],
    structured: true,
    stochastic: ({ sampling }) => sampling.respond.temperature !== 0 || sampling.judge.temperature !== 0,
    calls: () => 2,
    async run({ instruction }, context, { prompts, sampling }) {
      const reply = await wholeReply(context, 'model', context.prompt(prompts.respond, { instruction }), sampling.respond);
      if ('dropped' in reply) return reply;
      const response = reply.text;
      const verdict = await wholeReply(
        context,
        'judge',
        context.prompt(prompts.judge, { instruction, response, dimensions }),
        inSchema(sampling.judge, z.strictObject({ Analysis: z.string(), ...grades.shape })),
      );
      return 'dropped' in verdict
        ? keep({ response, grades: null, said: verdict.evidence ?? null })
        : keep({ response, grades: parseGrades(verdict.text) ?? null, said: verdict.text });
    },
  }),
  measure(answers): Readonly<Record<string, number>> {
    const given = answers.flatMap(({ answer }) => answer ?? []);
    const lowest = Object.fromEntries(dimensions.map((name) => [name, 1])) as Grades;
    const counted = answers.flatMap(({ answer }) => (answer ? (answer.grades ?? []) : [lowest]));
    const means = dimensions.map((name) => [name.toLowerCase(), mean(counted.map((grades) => grades[name]))] as const);
    return {
      quality: mean(means.map(([, grade]) => grade)),
      ...Object.fromEntries(means),
      judged: mean(given.map(({ grades }) => (grades === null ? 0 : 1))),
    };
  },
  each: ({ answer: { grades } }) => ({ ...grades }),
});

/** Parses the outermost braces of a verdict as JSON with a whole number from 1 to 10 for each dimension. */
export function parseGrades(verdict: string): Grades | undefined {
  try {
    return grades.safeParse(JSON.parse(/\{[^]*\}/.exec(verdict)?.[0] ?? '')).data;
  } catch {
    return undefined;
  }
}

const mean = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0) / Math.max(1, numbers.length);
