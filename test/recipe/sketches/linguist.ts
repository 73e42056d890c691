// LINGUIST: language model instruction tuning to generate annotated utterances (2209.09900), setting A.
import {
  operators,
  spread,
  union,
  type Chat,
  type Dataset,
  type Metrics,
  type Model,
  type Op,
  type Recipe,
  type Reducer,
  type Report,
  type Settings,
  type MaybePromise,
  type Suite,
  type Tagged,
  type Template,
} from '../../../recipe/index.ts';

export interface Utterance extends Tagged {
  readonly language: string;
}
export interface Brief {
  readonly intent: string;
  readonly include: readonly (readonly [number, string])[];
  readonly labels: readonly string[];
  readonly examples: readonly string[];
}
export interface Drill extends Brief {
  readonly target: string;
}
export interface Made extends Brief, Utterance {}

const { drills, starterSplit, briefs, annotate, novel, toTarget, icSt } = operators<{
  drills: Reducer<{ of: MaybePromise<Dataset<Utterance>> }, Dataset<Drill>, { without: string }>; // L1, L2: other utterances as examples, never the target
  starterSplit: Reducer<
    { of: MaybePromise<Dataset<Utterance>> },
    { starters: Dataset<Utterance>; others: Dataset<Utterance> },
    { intent: string; starters: number; draw: number }
  >;
  briefs: Reducer<{ of: MaybePromise<Dataset<Utterance>> }, Dataset<Brief>, { upTo: number }>; // A3: five blocks, wildcards
  annotate: Op<Brief, Made, 'generator', { samples: number }>; // A4 + V1-V5, V7
  novel: Reducer<
    { made: MaybePromise<Dataset<Made>>; starters: MaybePromise<Dataset<Utterance>> },
    Dataset<Utterance>,
    { upsample: number }
  >; // V6, starters up-sampled
  toTarget: Template<Drill, Chat>;
  icSt: Suite<'tagger', { icRecall: number; stF1: number; icAccuracy: number }, never, { test: Dataset<Utterance>; intent: string }>;
}>('linguist');

export interface LinguistConfig {
  readonly base: Model;
  readonly encoder: Model<'encoder'>;
  readonly train: Dataset<Utterance>;
  readonly test: Dataset<Utterance>;
  readonly intents: readonly string[];
  readonly draws: number;
  readonly students: number;
  readonly starters: number;
  readonly samples: number;
  readonly generatorSft: Settings;
  readonly tagger: Settings<'tagger'>;
}

export const linguist: Recipe<LinguistConfig, { table: Report<Metrics> }> = async (run, { base, encoder, train, test, ...config }) => {
  const cells = config.intents.flatMap((intent) => {
    const arm = run.arm(intent);
    const data = arm.reduce(drills({ of: train }, { without: intent })); // L1, L2
    const generator = arm.train('generator', { ...config.generatorSft, from: base, data, template: toTarget }); // A2
    return times(config.draws).map(async (draw) => {
      const cell = arm.arm(`draw-${draw}`);
      const { starters, others } = await cell.reduce(starterSplit({ of: train }, { intent, starters: config.starters, draw })); // A1
      const asked = cell.reduce(briefs({ of: starters }, { upTo: 10 })); // A3
      const made = cell.map(annotate, asked, { with: { generator }, params: { samples: config.samples } }); // A4, A5
      const data = cell.reduce(union<Utterance>([others, cell.reduce(novel({ made, starters }, { upsample: 10 }))])); // A6
      return Promise.all(
        times(config.students).map((repeat) => {
          const student = cell.train(`student-${repeat}`, { ...config.tagger, from: encoder, data, repeat }); // A7
          return cell.evaluate(student, icSt, { params: { test, intent }, as: `student-${repeat}` }); // A8
        }),
      );
    });
  });
  return { table: await run.reduce(spread((await Promise.all(cells)).flat())) };
};

const times = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
