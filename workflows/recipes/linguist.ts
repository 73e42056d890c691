/** LINGUIST: a generator learns to write annotated utterances, and a tagger learns from what it writes (2209.09900). */
import {
  operators,
  type Dataset,
  type MaybePromise,
  type Metrics,
  type Model,
  type Recipe,
  type Report,
  type Run,
} from '../../recipe/api.ts';
import { repeat, select, spread, union, without } from '../../recipe/reducers.ts';
import type { Drill, Row, Sample, Utterance } from '../../operators/linguist/records.ts';
import type { LinguistParameters } from '../../schemas/recipes/linguist.ts';

const { read, allBut, drills, crossDrills, starters, briefs, annotate, recognize, rate, novel, best, paraphrase, accepted } =
  operators<typeof import('../../operators/linguist/index.ts')>('linguist');
const { tagging } = operators<typeof import('../../operators/eval/index.ts')>('eval');

export interface LinguistConfig extends LinguistParameters {
  /** Becomes the generator. */
  readonly base: Model;
  /** Becomes the students, which classify intents and tag slots. */
  readonly encoder: Model<'encoder'>;
  /** Writes the paraphrases of the arm `paraphrase`. Default: the base, which must know how to then. */
  readonly paraphraser?: Model;
  readonly train: Dataset<Row>;
  readonly test: Dataset<Row>;
  /** Utterances with their translations, from which the generator learns to project. */
  readonly parallel?: Dataset<Row>;
}

type Utterances = MaybePromise<Dataset<Utterance>>;
type Checker = Promise<Model<'tagger'>> | undefined;
interface Given {
  readonly train: Dataset<Utterance>;
  readonly test: Dataset<Utterance>;
}
/** A report of a student of `arm` on the novel intent, or on the language, `part`. */
interface Measured {
  readonly arm: string;
  readonly part: string;
  readonly report: Promise<Report<Metrics>>;
}

export const linguist: Recipe<LinguistConfig, { readonly [table: string]: Report<Metrics> }> = async (run, config) => {
  const test = await run.map(read, config.test, { params: reading(config), as: 'test' });
  const labelled = run.map(read, config.train, { params: reading(config), as: 'train' });
  const train = await run.reduce(without(labelled, test, 'tokens'), { as: 'unseen' });
  const measured = config.projection ? crossLingual(run, config, { train, test }) : novelIntents(run, config, { train, test });
  return tabulate(run, await measured, config.projection?.from);
};

/** Setting A: a few utterances of each novel intent are known. One generator, which has seen none of them, serves all draws and students. */
async function novelIntents(run: Run, config: LinguistConfig, { train, test }: Given): Promise<Measured[]> {
  const { intents, draws, starters: known, upsample, target, arms } = config;
  const cells = intents.flatMap((intent) => {
    const others = run.arm(intent).reduce(allBut({ of: train }, { intent }), { as: 'others' });
    const drilled = run.arm(intent).reduce(drills({ of: others }, { most: config.examples, drilling: config.drills })); // L1, L2
    const generator = learnToWrite(run.arm(intent), config, drilled); // A2
    return times(draws).map(async (draw) => {
      const cell = run.arm(intent).arm(`draw-${draw}`);
      const drawn = cell.reduce(starters({ of: train }, { intent, count: known, draw })); // A1
      const own = await cell.gate(drawn, { rows: known }, { as: 'enough-starters' });
      const copies = (count: number) => cell.reduce(repeat(own, count), { as: `starters-${count}` });
      const examine = (arm: string, more: readonly Utterances[]): Measured[] => {
        const data = cell.arm(arm).reduce(union<Utterance>([others, ...more]), { as: 'rows' }); // A6
        return learnToTag(cell.arm(arm), config, data).map(({ turn, student }) => {
          const report = turn.evaluate(student, tagging, { params: { test, intent }, as: 'evaluate' }); // A8
          return { arm, part: intent, report };
        });
      };
      const checker = firstStudent(cell, config, [others, copies(upsample)]);
      const generated = topUp(cell, config, { generator, checker }, own, test); // A3 to A5
      return [
        ...examine('linguist', [copies(upsample), generated]),
        ...(arms.includes('none') ? examine('none', [own]) : []),
        ...(arms.includes('upsampled') ? examine('upsampled', [copies(upsample + Math.ceil(target / known))]) : []),
        ...(arms.includes('paraphrase') ? examine('paraphrase', [copies(upsample), rewritten(cell, config, own, test)]) : []),
      ];
    });
  });
  return (await Promise.all(cells)).flat();
}

/** A3 to A5: requests like the starters, one sample for each, in passes until `target` utterances are accepted. */
async function topUp(
  cell: Run,
  config: LinguistConfig,
  { generator, checker }: { readonly generator: Promise<Model>; readonly checker: Checker },
  real: Dataset<Utterance>,
  test: Dataset<Utterance>,
): Promise<Dataset<Sample>> {
  const { samples, passes, target, examples: most, wildcard, ontology } = config;
  let made: readonly Promise<Dataset<Sample>>[] = [];
  let missing = target;
  for (let pass = 1; ; pass++) {
    const turn = cell.arm(`pass-${pass}`);
    const asked = turn.reduce(briefs({ of: real }, { language: null, samples, pass, most, wildcard, ontology })); // A3
    const written = turn.map(annotate, asked, { with: { generator }, params: asking(config), until: { kept: missing } }); // A4, V1 to V5, V7
    made = [...made, recognizing(turn, written, checker)]; // V8
    const some = turn.reduce(novel({ made, real, test }, { most: target })); // V6
    const counted = turn.evaluate(some, accepted, { as: 'evaluate' });
    if (pass === passes) return some;
    missing = await turn.decide('missing', { counted }, ({ counted }) => Math.max(0, target - counted.samples), target);
    if (missing === 0) return some;
  }
}

/** Checks V8; has learnt no generated utterance. Undefined: V8 is not checked. */
function firstStudent(turn: Run, config: LinguistConfig, rows: readonly Utterances[]): Checker {
  if (!config.checkIntent) return undefined;
  const first = turn.arm('first');
  const [only] = learnToTag(first, config, first.reduce(union<Utterance>(rows), { as: 'rows' }), 1);
  return only!.student;
}

const recognizing = (turn: Run, written: Promise<Dataset<Sample>>, tagger: Checker): Promise<Dataset<Sample>> =>
  tagger ? turn.map(recognize, written, { with: { tagger } }) : written;

/** The arm `paraphrase`: as many paraphrases of the starters. */
function rewritten(cell: Run, config: LinguistConfig, real: Dataset<Utterance>, test: Dataset<Utterance>): Utterances {
  const { base, paraphraser = base, samples, target } = config;
  const tasks = cell.reduce(repeat(real, samples), { as: 'paraphrases' });
  const made = cell.map(paraphrase, tasks, { with: { paraphraser }, params: asking(config) });
  const others = cell.reduce(novel({ made: [made], real, test }, { most: null }), { as: 'novel-paraphrases' });
  return cell.reduce(select(others, { take: target }), { as: 'paraphrased' });
}

/** Setting B: utterances of one language are projected into others. The students learn both. */
async function crossLingual(run: Run, config: LinguistConfig, { train, test }: Given): Promise<Measured[]> {
  const { projection, examples: most, wildcard, ontology } = config;
  const { from, languages, samples, fallback } = projection!;
  const parallel = run.map(read, config.parallel!, { params: reading(config), as: 'parallel' });
  const source = run.reduce(select(train, { where: { language: from } }), { as: 'source' });
  const drilled = run.reduce(crossDrills({ of: parallel }, { from, languages, most, drilling: config.drills })); // L1, L2
  const generator = learnToWrite(run, config, drilled);
  const checker = firstStudent(run, config, [train]);
  const projected = languages.map((language) => {
    const cell = run.arm(language);
    const asked = cell.reduce(briefs({ of: source }, { language, samples, pass: 1, most, wildcard, ontology }));
    const made = cell.map(annotate, asked, { with: { generator }, params: asking(config) }); // V1 to V5, V7
    const some = cell.reduce(novel({ made: [recognizing(cell, made, checker)], real: source, test }, { most: null })); // V8, V6
    const rated = cell.map(rate, some, { with: { generator }, params: asking(config) });
    return cell.reduce(best({ of: source, made: rated }, { fallback }));
  });

  const examine = (arm: string, own: readonly Utterances[]): Measured[] => {
    const data = run.arm(arm).reduce(union<Utterance>([train, ...own]), { as: 'rows' });
    return learnToTag(run.arm(arm), config, data).flatMap(({ turn, student }) =>
      [from, ...languages].map((language) => {
        const items = run.reduce(select(test, { where: { language } }), { as: `test-${language}` });
        return { arm, part: language, report: turn.evaluate(student, tagging, { params: { test: items }, as: `evaluate-${language}` }) };
      }),
    );
  };
  return [...examine('linguist', projected), ...(config.arms.includes('none') ? examine('none', []) : [])];
}

const learnToWrite = (turn: Run, { base, generatorSft, template }: LinguistConfig, data: Promise<Dataset<Drill>>): Promise<Model> =>
  turn.train('generator', { ...generatorSft, objective: 'sft', from: base, data, template: { id: template } });

/** A7: the students, which differ in their seeds. */
const learnToTag = (turn: Run, { encoder, studentSft, students: all }: LinguistConfig, data: Promise<Dataset<Utterance>>, students = all) =>
  times(students).map((repeat) => {
    const own = turn.arm(`student-${repeat}`);
    return { turn: own, student: own.train('student', { ...studentSft, objective: 'tagger', from: encoder, data, repeat }) };
  });

/** Mean and standard deviation over draws and students: of each arm on all parts but `known`, and of each arm on each part. */
async function tabulate(run: Run, measured: readonly Measured[], known?: string): Promise<{ readonly [table: string]: Report<Metrics> }> {
  const novel = measured.filter(({ part }) => part !== known);
  const tables = [...Map.groupBy(novel, ({ arm }) => arm), ...Map.groupBy(measured, ({ arm, part }) => `${arm}/${part}`)].map(
    async ([name, some]) => {
      const reports = some.map(({ report }) => report);
      return [name, await run.arm(name).reduce(spread(reports), { as: 'spread' })] as const;
    },
  );
  return Object.fromEntries(await Promise.all(tables));
}

const reading = ({ language, segmentation }: LinguistConfig) => ({ language, segmentation });
const asking = ({ prompts, sampling, segmentation }: LinguistConfig) => ({ prompts, sampling, segmentation });
const times = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
