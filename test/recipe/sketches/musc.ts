// MuSC: improving complex instruction following with multi-granularity self-contrastive training (2502.11541; code).
import {
  chain,
  draw,
  operators,
  union,
  type Dataset,
  type Model,
  type Op,
  type Recipe,
  type Reducer,
  type Settings,
  type Soon,
  type Template,
  type WeightedPreference,
} from '../../../recipe/index.ts';

export interface Demo {
  readonly instruction: string;
  readonly input: string | null;
  readonly constraints: readonly string[];
}
export interface Query {
  readonly instruction: string;
}
/** `shots` are the demonstrations this row was made with: chosen and rejected must see the same. */
export interface Taken extends Demo {
  readonly shots: readonly Demo[];
}
export interface Parts extends Taken {
  readonly noised: readonly string[];
}
export interface Twins {
  readonly instruction: string;
  readonly noised: string;
  readonly touched: readonly number[];
}
export interface Contrast extends Twins {
  readonly chosen: string;
  readonly rejected: string;
}
/** Log-probability and entropy of each response token under the instruction it came from, the other one, and none. */
export interface Confidence {
  readonly ids: readonly number[];
  readonly own: Curve;
  readonly other: Curve;
  readonly none: Curve;
}
export interface Curve {
  readonly logprob: readonly number[];
  readonly entropy: readonly number[];
}
export interface Scored extends Twins {
  readonly chosen: Confidence;
  readonly rejected: Confidence;
}
export interface Weighing {
  readonly metric: 'logprob-ratio' | 'entropy-ratio' | 'pmi';
  readonly scale: number;
  readonly cap: number;
  readonly bothZero: number;
}

const { decompose, corrupt, recombine, invent, reinvent, respond, capTopics, confidence, weigh, preference } = operators<{
  decompose: Op<Query, Taken, 'self', { demos: Dataset<Demo> }>; // A1: at least two constraints
  corrupt: Op<Taken, Parts, never, { ratio: number }>; // A2: constraint 0 is never touched
  recombine: Op<Parts, Twins, 'self'>; // A3, A4: the same demonstrations for both
  invent: Op<{ readonly drawn: readonly Demo[] }, Taken, 'self'>; // B1
  reinvent: Op<Parts, Twins, 'self'>; // B3: prefilled with the noised list
  respond: Op<Twins, Contrast, 'self'>; // R1, R2: y_w from Ins, y_l from Ins_drop
  capTopics: Reducer<{ of: Soon<Dataset<Contrast>> }, Dataset<Contrast>, { perTopic: number }>;
  confidence: Op<Contrast, Scored, 'self'>; // probe: six passes a row
  weigh: Op<Scored, Twins & { chosen: Weights; rejected: Weights }, never, { weighing: Weighing }>; // rules of 3.5; no model
  preference: Template<Twins & { chosen: Weights; rejected: Weights }, WeightedPreference>; // prompt = the full instruction
}>('musc');
type Weights = WeightedPreference['chosen'];

export interface MuscConfig {
  readonly model: Model;
  readonly queries: Dataset<Query>;
  readonly demos: Dataset<Demo>;
  readonly selfMade: number;
  readonly ratio: number;
  readonly weighing: Weighing;
  readonly dpo: Settings<'token-dpo'>;
  readonly perTopic: number;
}

export const musc: Recipe<MuscConfig, { model: Model; data: Dataset<Contrast> }> = async (
  run,
  { model, queries, demos, selfMade, ratio, weighing, dpo, perTopic },
) => {
  const self = { with: { self: model } };
  const given = run.map(chain(decompose, corrupt, recombine), queries, { ...self, params: { demos, ratio } });
  const made = run.map(chain(invent, corrupt, reinvent), run.reduce(draw(demos, { count: selfMade, each: 4 })), {
    ...self,
    params: { ratio },
  });

  const answered = run.map(respond, given, self);
  const capped = run.reduce(capTopics({ of: run.map(respond, made, { ...self, as: 'respond-self-made' }) }, { perTopic }));
  const data = await run.reduce(union([answered, capped]));

  const scored = run.map(confidence, data, self);
  const weighted = run.map(weigh, scored, { params: { weighing } });
  return { model: await run.train('musc', { ...dpo, from: model, data: weighted, template: preference }), data };
};
