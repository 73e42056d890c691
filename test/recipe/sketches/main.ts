// MAIN: mutual alignment of a forward and a reverse model (2504.12913).
import {
  mix,
  operators,
  select,
  type Chat,
  type Dataset,
  type Model,
  type Op,
  type Recipe,
  type Reducer,
  type Settings,
  type Soon,
  type Template,
} from '../../../recipe/index.ts';
import type { Pair } from '../../../operators/humpback/records.ts';

export interface Text {
  readonly response: string;
}
/** Both sides are human; `imagined` is what a model put in the place of the conditioning side, `nll` the loss under it. */
export interface Imagined extends Pair {
  readonly imagined: string;
}
export interface Measured extends Imagined {
  readonly nll?: number;
  readonly seedNll?: number;
}
export interface Scored extends Pair {
  readonly nll: number;
}

const { imagineInstruction, imagineResponse, measure, weigh, invert, agree, toInstruction, toResponse, row } = operators<{
  imagineInstruction: Op<Pair, Imagined, 'reverse'>; // Î from R
  imagineResponse: Op<Pair, Imagined, 'forward'>; // R̂ from I
  measure: Op<Imagined, Measured, 'model', { direction: 'forward' | 'reverse' }>; // probe: NLL given the imagined and given the human side
  weigh: Reducer<{ of: Soon<Dataset<Measured>> }, Dataset<Chat>, { direction: 'forward' | 'reverse'; alpha: Alpha; round: number }>; // 2α and 2(1-α), a pair in one batch
  invert: Op<Text, Pair, 'reverse'>;
  agree: Op<Pair, Scored, 'forward'>; // probe: mean NLL of R_u given Î'
  toInstruction: Template<Pair, Chat>;
  toResponse: Template<Pair, Chat>;
  row: Template<Pair & { part: 'seed' | 'curated' }, Chat>;
}>('main');

export type Alpha = { readonly constant: number } | { readonly linear: readonly [number, number] } | { readonly lossRatio: true };
export interface MainConfig {
  readonly base: Model;
  readonly seed: Dataset<Pair>;
  readonly texts: Dataset<Text>;
  readonly sft: Settings;
  readonly rounds: number;
  readonly alpha: Alpha;
  readonly keep: number;
}

export const main: Recipe<MainConfig> = async (run, { base, seed, texts, sft, rounds, alpha, keep }) => {
  let [reverse, forward] = await Promise.all([
    run.train('reverse', { ...sft, from: base, data: seed, template: toInstruction }),
    run.train('forward', { ...sft, from: base, data: seed, template: toResponse }),
  ]);
  for await (const round of run.rounds(rounds)) {
    const turn = async (direction: 'forward' | 'reverse', imagined: Promise<Dataset<Imagined>>, learner: Model) => {
      const measured =
        'lossRatio' in alpha
          ? round.map(measure, imagined, { with: { model: learner }, params: { direction }, as: `measure-${direction}` })
          : imagined;
      const data = round.reduce(weigh({ of: measured }, { direction, alpha, round: round.number }));
      return round.train(direction, { ...sft, from: base, data });
    };
    forward = await turn('forward', round.map(imagineInstruction, seed, { with: { reverse } }), forward);
    reverse = await turn('reverse', round.map(imagineResponse, seed, { with: { forward } }), reverse);
  }
  const augmented = run.map(invert, texts, { with: { reverse } });
  const scored = run.map(agree, augmented, { with: { forward } });
  const curated = run.reduce(select(scored, { best: { by: 'nll', order: 'lowest', share: keep } }));
  return { model: await run.train('final', { ...sft, from: base, data: run.reduce(mix({ seed, curated })), template: row }) };
};
