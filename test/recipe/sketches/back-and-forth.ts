// Better alignment with instruction back-and-forth translation (2408.04614), section 2 and appendix A.
import {
  mix,
  operators,
  select,
  type Chat,
  type Dataset,
  type Model,
  type Op,
  type Recipe,
  type Run,
  type Settings,
  type Suite,
  type Template,
} from '../../../recipe/index.ts';
import type { Judged, Pair, Segment } from '../../../operators/humpback/records.ts';

const { backtranslate, judge, rewrite, distil, toInstruction, toResponse, alpacaEval } = operators<{
  backtranslate: Op<Segment, Pair, 'backward'>;
  judge: Op<Pair, Judged, 'scorer'>;
  rewrite: Op<Pair, Pair, 'rewriter'>; // sees x̂ and y; text between the marks, or drop
  distil: Op<Pick<Pair, 'instruction'>, Pair, 'rewriter'>; // sees x̂ only
  toInstruction: Template<Pair, Chat>;
  toResponse: Template<Pair & { readonly part: 'seed' | 'augmented' }, Chat>;
  alpacaEval: Suite<'lm', { winRate: number }, 'judge', { tags: 'assistant' | 'assistant+web' }>;
}>('back-and-forth');

export type Arm = 'filter' | 'rewrite' | 'filter+rewrite' | 'filter+distil';
export interface BackAndForthConfig {
  readonly base: Model;
  readonly student: Model;
  readonly rewriter: Model;
  readonly evaluator: Model;
  readonly seed: Dataset<Pair>;
  readonly documents: Dataset<Segment>;
  readonly sft: Settings;
  readonly arms: readonly Arm[];
  readonly size: number;
  readonly steps: readonly number[];
}

export const backAndForth: Recipe<BackAndForthConfig, Record<string, Model>> = async (run, config) => {
  const { base, student, rewriter, evaluator, seed, sft, size } = config;
  const backward = run.train('backward', { ...sft, from: base, data: seed, template: toInstruction });
  const scorer = run.train('forward', { ...sft, from: base, data: run.reduce(mix({ seed })), template: toResponse });
  const pool = run.map(backtranslate, config.documents, { with: { backward } });
  const perfect = run.reduce(select(run.map(judge, pool, { with: { scorer } }), { where: { score: 5 } }));
  const exactly = { with: { rewriter }, until: { kept: size } };
  const pairs: Record<Arm, (arm: Run) => Promise<Dataset<Pair>>> = {
    filter: (arm) => arm.reduce(select(perfect, { take: size })),
    rewrite: (arm) => arm.map(rewrite, pool, exactly),
    'filter+rewrite': (arm) => arm.map(rewrite, perfect, exactly),
    'filter+distil': (arm) => arm.map(distil, perfect, exactly),
  };
  const best = config.arms.map(async (name) => {
    const arm = run.arm(name);
    const data = arm.reduce(mix({ seed, augmented: arm.gate(pairs[name](arm), { rows: size }) }));
    const students = config.steps.map((steps) =>
      arm.train(`student-${steps}`, { ...sft, length: { steps }, from: student, data, template: toResponse }),
    );
    const reports = Object.fromEntries(
      students.map(
        (model, i) =>
          [
            config.steps[i]!,
            arm.evaluate(model, alpacaEval, {
              with: { judge: evaluator },
              params: { tags: 'assistant' },
              as: `win-rate-${config.steps[i]}`,
            }),
          ] as const,
      ),
    );
    const steps = await arm.decide('best number of steps', reports, (scores) => top(scores, 'winRate'), String(config.steps[0]));
    return [name, await students[config.steps.findIndex((s) => String(s) === steps)]!] as const;
  });
  return Object.fromEntries(await Promise.all(best));
};

const top = <K extends string>(scores: Record<string, Record<K, number>>, by: K): string =>
  Object.keys(scores).reduce((a, b) => (scores[b]![by] > scores[a]![by] ? b : a));
