/** A base model from text: one training, and perhaps a second one on what ordinary text does not teach. */
import type { Chat, Chosen, Dataset, Metrics, Model, Recipe, Suite } from '../../recipe/api.ts';
import type { PretrainParameters } from '../../schemas/recipes/pretrain.ts';

/** A text, or a conversation: all of it is learnt. */
type Text = { readonly text: string } | Pick<Chat, 'messages'>;

export interface PretrainConfig extends PretrainParameters {
  /** Where to begin: an architecture with a seed, or weights. */
  readonly base: Model;
  readonly text: Dataset<Text>;
  readonly tail?: Dataset<Text>;
  readonly evaluation: { readonly base?: Chosen<Suite<'lm', Metrics>> };
}

/** Gives the model, and what it was before the tail. */
export const pretrain: Recipe<PretrainConfig, { model: Model; untailed: Model }> = async (
  run,
  { base, text, tail, minimum, evaluation, ...config },
) => {
  const lm = { ...config.lm, objective: 'lm' } as const;
  const untailed = run.train('base', { ...lm, from: base, data: text });

  const suite = evaluation.base;
  if (suite) {
    const report = run.evaluate(untailed, suite, { as: 'evaluate-base' });
    await run.gate(report, { atLeast: minimum });
  }
  const model = tail ? run.train('tailed', { ...lm, ...config.tailLm, from: untailed, data: tail }) : untailed;
  if (suite && tail) void run.evaluate(model, suite, { as: 'evaluate-tailed' });
  return { model: await model, untailed: await untailed };
};
