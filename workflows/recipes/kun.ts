/** Kun: answer polishment for Chinese self-alignment with instruction back-translation (2401.06477; release code). */
import {
  chain,
  operators,
  type Chosen,
  type Dataset,
  type DataSuite,
  type Metrics,
  type Model,
  type Recipe,
  type Run,
  type MaybePromise,
  type Suite,
} from '../../recipe/api.ts';
import { judgeCheck } from '../../recipe/judge-check.ts';
import { select } from '../../recipe/reducers.ts';
import type { Pair, Segment } from '../../operators/humpback/records.ts';
import type { Judged, Labelled } from '../../operators/kun/records.ts';
import type { KunParameters } from '../../schemas/recipes/kun.ts';

const { measure, primary, label, askable, written, point, withinBudget, polish, clean, unpolished } =
  operators<typeof import('../../operators/kun/index.ts')>('kun');

export interface KunConfig extends KunParameters {
  readonly base: Model;
  /** Counts the tokens of texts, and tells how perplexing they are. Default: the base. */
  readonly reader?: Model;
  /** Judge instructions, and answer them, in place of the chat model of the seed. */
  readonly point?: Model;
  readonly answer?: Model;
  /** Pairs written by people. */
  readonly seed: Dataset<Pair>;
  readonly texts: Dataset<Segment>;
  readonly evaluation: {
    readonly forward?: Chosen<Suite<'lm', Metrics>>;
    readonly backward?: Chosen<Suite<'lm', Metrics>>;
    /** Of the instructions that the label model wrote, before they are judged. */
    readonly labelled?: Chosen<DataSuite<Labelled, Metrics>>;
    readonly pairs?: Chosen<DataSuite<Pair, Metrics>>;
  };
}

export const kun: Recipe<KunConfig, { readonly model: Model; readonly primary: Model; readonly pairs: Dataset<Pair> }> = async (
  run,
  config,
) => {
  const { base, reader = base, seed, texts, maxTokens, maxPerplexity, words, minChars, prompts, sampling, evaluation } = config;
  const toInstruction = { id: config.templates.toInstruction };
  const toResponse = { id: config.templates.toResponse };
  const chatSft = { ...config.chatSft, objective: 'sft' } as const;

  // The label model, and the primary chat model, which judges (point) and polishes (answer): the base, tuned on the seed.
  const labeller = run.train('label-model', { ...config.labelSft, objective: 'sft', from: base, data: seed, template: toInstruction });
  const chat = run.train('primary-chat', { ...chatSft, from: base, data: seed, template: toResponse });
  if (evaluation.backward) void run.evaluate(labeller, evaluation.backward, { as: 'evaluate-backward' });
  if (evaluation.forward) void run.evaluate(chat, evaluation.forward, { as: 'evaluate-primary' });

  // Primary data: short, unsurprising texts. Each is given an instruction.
  const measured = run.map(measure, texts, { with: { reader } });
  const labelled = run.map(chain(primary, label, askable), measured, {
    with: { label: labeller },
    params: { maxTokens, maxPerplexity, prompt: prompts.label, sampling: sampling.label, words },
    as: 'label',
  });
  if (evaluation.labelled) void run.evaluate(labelled, evaluation.labelled, { as: 'evaluate-labelled' });

  // The judge sees the instruction alone.
  const judging = { prompts, sampling: sampling.point };
  const judge = checked(run, config, config.point ?? chat, judging);
  const good = run.map(point, labelled, { with: { point: judge }, params: judging });

  /** The answer model writes the response anew, from the text; then the final model is trained on it. */
  const polishing = (turn: Run, of: MaybePromise<Dataset<Judged>>) => {
    const fitting = turn.map(withinBudget, of, { with: { reader }, params: { maxTokens }, as: 'budget' });
    return turn.map(chain(polish, clean), fitting, {
      with: { answer: config.answer ?? chat },
      params: { prompt: prompts.polish, sampling: sampling.polish, words, minChars },
      as: 'polish',
    });
  };
  const finish = (turn: Run, data: MaybePromise<Dataset<Pair>>): Promise<Model> => {
    const from = config.finalFrom === 'base' ? base : chat;
    const model = turn.train('final-chat', { ...chatSft, ...config.finalSft, from, data, template: toResponse });
    if (evaluation.pairs) void turn.evaluate(data, evaluation.pairs, { as: 'evaluate-pairs' });
    if (evaluation.forward) void turn.evaluate(model, evaluation.forward, { as: 'evaluate-forward' });
    return model;
  };

  const pairs = await run.gate(polishing(run, good), { rows: config.minimum });
  if (config.arms.includes('unpolished')) {
    const arm = run.arm('unpolished');
    void finish(arm, arm.map(unpolished, pairs));
  }
  if (config.arms.includes('unjudged')) {
    const arm = run.arm('unjudged');
    void finish(arm, polishing(arm, arm.reduce(select(labelled, { take: { as: good } }), { as: 'drawn' })));
  }
  return { model: await finish(run, pairs), primary: await chat, pairs };
};

/** Measures the judge on instructions of the seed, and on responses in their place: it sees the instruction alone. */
function checked(
  run: Run,
  { judgeCheck: settings, seed }: KunConfig,
  judge: MaybePromise<Model>,
  params: { readonly prompts: KunConfig['prompts']; readonly sampling: KunConfig['sampling']['point'] },
): MaybePromise<Model> {
  const check = judgeCheck<Labelled, Judged>(run, settings, {
    pairs: () => run.map(written, seed, { as: 'check-written' }),
    move: { instruction: 'text' },
    score: null,
  });
  return check(run, judge, (pairs, judge) => run.map(point, pairs, { with: { point: judge }, params, as: 'check-judged' }));
}
