// AIR: complex instruction generation via automatic iterative refinement (2502.17787; code).
import { chain, diverse, operators, select, type Dataset, type Model, type Recipe, type Settings } from '../../../recipe/index.ts';

const { readable, backtranslate, rate, refine, level, toResponse } = operators<typeof import('./air-operators.ts')>('air');
type Source = import('./air-operators.ts').Source;
type Complex = import('./air-operators.ts').Complex;

export interface AirConfig {
  readonly guidance: Model;
  readonly student: Model;
  readonly encoder: Model<'encoder'>;
  readonly documents: Dataset<Source>;
  readonly pick: number;
  readonly minScore: number;
  readonly iterations: number;
  readonly level: number;
  readonly size: number;
  readonly sft: Settings;
}

export const air: Recipe<AirConfig, { model: Model; data: Dataset<Complex> }> = async (run, config) => {
  const { guidance, student, encoder, sft } = config;
  const kept = run.map(readable, config.documents); // 1a, 1b
  const spread = run.reduce(diverse(kept, { encoder, on: 'text', count: config.pick })); // 1c, 1d
  const rated = run.map(chain(backtranslate, rate), spread, { with: { guidance } }); // 1e, 1f
  const started = run.reduce(select(rated, { where: { score: { atLeast: config.minScore } } })); // 1g

  const refined = run.map(refine, started, { with: { guidance, student }, params: { iterations: config.iterations } }); // D .. X
  const merged = run.map(level, refined, { with: { guidance }, params: { level: config.level } }); // M, Y
  const data = await run.reduce(select(merged, { take: config.size }));
  return { model: await run.train('student', { ...sft, from: student, data, template: toResponse }), data };
};
