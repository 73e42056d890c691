/** Self-Lengthen: a generator that writes ever longer texts, and an extender that makes them longer, from one base (2410.23933). */
import {
  chain,
  operators,
  type Chosen,
  type Dataset,
  type DataSuite,
  type MaybePromise,
  type Metrics,
  type Model,
  type Recipe,
  type Run,
  type Suite,
} from '../../recipe/api.ts';
import { draw, repeat, select, union } from '../../recipe/reducers.ts';
import type { Demanded, Extended, Lesson, Piece, Seed } from '../../operators/self-lengthen/records.ts';
import type { SelfLengthenParameters } from '../../schemas/recipes/self-lengthen.ts';

const { propose, write, lengthen, dropShort, thin, demandLength, rewrite } =
  operators<typeof import('../../operators/self-lengthen/index.ts')>('self-lengthen');

export interface SelfLengthenConfig extends SelfLengthenParameters {
  /** Makes up instructions and judges them, in every round. Generator and extender are its adapters. */
  readonly base: MaybePromise<Model>;
  /** Instructions of long texts. */
  readonly seeds: Dataset<Seed>;
  /** Teach the base its work first, if it is too small to follow requests. */
  readonly lessons?: Dataset<Lesson>;
  readonly evaluation: {
    readonly length?: Chosen<Suite<'lm', Metrics>>;
    readonly quality?: Chosen<Suite<'lm', Metrics>>;
    /** Of the extended texts of a round, and of the final data. */
    readonly data?: Chosen<DataSuite<Piece, Metrics>>;
  };
}

type Result = { model: Model; generator: Model; extender: Model; data: Dataset<Demanded> };

export const selfLengthen: Recipe<SelfLengthenConfig, Result> = async (run, given) => {
  const config = { ...given, base: teach(run, given) };
  const { base, extensions, lengthBias, extension, keepLine, demands, quorum, minimum, sft } = config;
  const asking = askingOf(config);
  const toText = { id: config.templates.toText };
  const toLonger = { id: config.templates.toLonger };

  let generator: MaybePromise<Model> = base;
  let extender: MaybePromise<Model> = base;
  let unextended: MaybePromise<Model> = base;
  const collected: Promise<Dataset<Piece>>[] = [];
  examine(run, config, base, 'base');
  for await (const round of run.rounds(config.rounds)) {
    const drafts = draft(round, config, config.perRound, generator); // A, B1 to B3
    const initial = round.reduce(dropShort({ of: drafts }, { lengthBias }), { as: 'initial' }); // B4
    const tasks = round.reduce(repeat(initial, extensions), { as: 'extensions' });
    const longer: Promise<Dataset<Extended>> = round.map(lengthen, tasks, { with: { extender }, params: { ...asking, extension }, quorum }); // C1 to C4
    const extended = round.reduce(dropShort({ of: longer }, { lengthBias }), { as: 'extended' }); // C5
    collected.push(initial, extended);

    const data = round.gate(extended, { rows: minimum });
    const thinned = round.map(thin, data, { params: { keepLine } }); // D2
    generator = round.train('generator', { ...sft, objective: 'sft', from: generator, data, template: toText }); // D1, E1
    extender = round.train('extender', { ...sft, objective: 'sft', from: extender, data: thinned, template: toLonger }); // E2
    examine(round, config, generator, 'generator');
    measure(round, config, data);
    if (config.arms.includes('unextended')) {
      const arm = round.arm('unextended');
      const own = arm.reduce(dropShort({ of: draft(arm, config, config.perRound, unextended) }, { lengthBias }), { as: 'initial' });
      const data = arm.gate(own, { rows: minimum });
      unextended = arm.train('generator', { ...sft, objective: 'sft', from: unextended, data, template: toText });
      examine(arm, config, unextended, 'generator');
      measure(arm, config, data);
    }
  }

  // After the last round: what the rounds collected, and drafts of the final generator, with demands of their lengths.
  const drafts = draft(run, config, config.collect, generator); // F1
  const pool = run.reduce(union([...collected, drafts]), { as: 'pool' }); // F2
  const { min, max } = config.keepWords;
  const long = run.reduce(select(pool, { where: { words: { atLeast: min, atMost: max } } }), { as: 'long' });
  const demanding = { ...asking, demands };
  const demanded = run.map(chain(demandLength, rewrite), long, { with: { writer: base }, params: demanding, as: 'demand' }); // F3
  const data = await run.gate(demanded, { rows: minimum });
  const from = config.finalFrom === 'base' ? base : generator;
  const model = run.train('final', { ...sft, ...config.finalSft, objective: 'sft', from, data, template: toText }); // F4
  examine(run, config, model, 'final');
  measure(run, config, data);
  return { model: await model, generator: await generator, extender: await extender, data };
};

/** The base; trained on its lessons first, where there are any. */
const teach = (run: Run, { base, lessons, baseSft, templates }: SelfLengthenConfig): MaybePromise<Model> =>
  lessons ? run.train('base', { ...baseSft, objective: 'sft', from: base, data: lessons, template: { id: templates.toReply } }) : base;

/** A and B1 to B3: instructions by the base, and drafts of each by the generator. */
function draft(turn: Run, config: SelfLengthenConfig, count: number, generator: MaybePromise<Model>): Promise<Dataset<Piece>> {
  const asking = askingOf(config);
  const drawn = turn.reduce(draw(config.seeds, { count, each: 2 }));
  const params = { ...asking, instructionWords: config.instructionWords };
  const instructions = turn.map(propose, drawn, { with: { writer: config.base }, params });
  const tasks = turn.reduce(repeat(instructions, config.drafts), { as: 'drafts' });
  return turn.map(write, tasks, { with: { generator }, params: asking, quorum: config.quorum });
}

const askingOf = ({ prompts, sampling, attempts, repetition }: SelfLengthenConfig) => ({ prompts, sampling, attempts, repetition });

function examine(turn: Run, { evaluation: { length, quality } }: SelfLengthenConfig, model: MaybePromise<Model>, name: string): void {
  if (length) void turn.evaluate(model, length, { as: `evaluate-length-${name}` });
  if (quality) void turn.evaluate(model, quality, { as: `evaluate-quality-${name}` });
}

function measure(turn: Run, { evaluation }: SelfLengthenConfig, data: MaybePromise<Dataset<Piece>>): void {
  if (evaluation.data) void turn.evaluate(data, evaluation.data, { as: 'evaluate-data' });
}
