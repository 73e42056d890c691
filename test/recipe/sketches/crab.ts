// CRAB: constraint back-translation (2410.24175; code).
import {
  chain,
  mix,
  operators,
  select,
  type Chat,
  type Dataset,
  type Model,
  type Op,
  type Preference,
  type Recipe,
  type Reducer,
  type Settings,
  type MaybePromise,
} from '../../../recipe/index.ts';
import type { Pair } from '../../../operators/humpback/records.ts';

export interface Constraint {
  readonly type: string;
  readonly text: string;
  readonly rule: RuleCall | null;
}
export interface RuleCall {
  readonly name: 'digit' | 'sentence' | 'paragraph' | 'word' | 'keyword' | 'punctuation';
  readonly args: readonly (string | number)[];
}
export interface Constrained extends Pair {
  readonly refined: string;
  readonly constraints: readonly Constraint[];
}

const { describe, addRules, check, tidy, verify, compose } = operators<{
  describe: Op<Pair, Constrained, 'annotator'>; // G1-G3: three calls at once, ten types, NULL skipped
  addRules: Op<Constrained, Constrained>; // R1: up to six constraints with an executable rule
  check: Op<Constrained, Constrained, 'annotator'>; // K1, K2: one call per model-made constraint: keep, replace, delete
  tidy: Op<Constrained, Constrained>; // F1: ROUGE-L .6 inside a pair
  verify: Op<Constrained, Constrained>; // every rule executed on y as worded; drop('rule-false')
  compose: Reducer<{ of: MaybePromise<Dataset<Constrained>> }, { forward: Dataset<Chat>; reverse: Dataset<Chat> }, Composition>; // T0, W1, V1: type frequencies, shots once each
}>('crab');

export interface Composition {
  readonly min: number;
  readonly max: number;
  readonly demoRate: number;
}
export interface CrabConfig {
  readonly base: Model;
  readonly annotator: Model;
  readonly pairs: Dataset<Pair>;
  readonly general: Dataset<Chat>;
  readonly preferences: Dataset<Preference>;
  readonly compose: Composition;
  readonly counts: { readonly forward: number; readonly reverse: number };
  readonly schedule: 'mix' | 'reverse-first';
  readonly sft: Settings;
  readonly dpo: Settings<'dpo'>;
}

export const crab: Recipe<CrabConfig, { sft: Model; model: Model }> = async (
  run,
  { base, annotator, pairs, general, preferences, counts, ...config },
) => {
  const described = run.map(chain(describe, addRules, check, tidy), pairs, { with: { annotator } });
  const verified = run.gate(run.map(verify, described), { share: 0.99 });
  const made = await run.reduce(compose({ of: verified }, config.compose));
  const forward = run.reduce(select(made.forward, { take: counts.forward }));
  const reverse = run.reduce(select(made.reverse, { take: counts.reverse }));

  const mixed = config.schedule === 'mix';
  const start = mixed ? base : run.train('reverse', { ...config.sft, from: base, data: reverse });
  const data = mixed ? run.reduce(mix({ forward, reverse, general })) : run.reduce(mix({ forward, general }));
  const sft = run.train('crab-sft', { ...config.sft, from: start, data });
  const model = run.train('crab-dpo', { ...config.dpo, from: sft, data: preferences });
  return { sft: await sft, model: await model };
};
