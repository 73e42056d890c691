/** What an experiment has measured, as points of the runs of an experiment tracker: a run for each training, with the names that TRL gives its
 *  metrics, and one for the metrics of the rounds (another for each arm). */
import type { ExperimentRecord, Step } from '../schemas/experiment.ts';
import type { CurvePoint } from '../schemas/store.ts';
import { parseEvent } from '../schemas/trainer.ts';
import { linesFrom } from '../store/files.ts';
import type { Store } from '../store/store.ts';
import { measured } from '../workflows/measured.ts';
import { eventFileOf } from './live.ts';

export interface Point {
  readonly run: string;
  /** Optimizer step, or round. */
  readonly step: number;
  /** When it was measured, in seconds since 1970. Of the steps of a finished training: from its end and their durations. */
  readonly time: number;
  readonly metrics: Readonly<Record<string, number>>;
}

const METRICS: Readonly<Record<Exclude<keyof CurvePoint, 'step' | 'seconds'>, string>> = {
  loss: 'train/loss',
  gradNorm: 'train/grad_norm',
  learningRate: 'train/learning_rate',
  tokens: 'train/tokens',
  padding: 'train/padding',
  memory: 'train/memory',
  rewardsChosen: 'train/rewards/chosen',
  rewardsRejected: 'train/rewards/rejected',
  rewardsMargins: 'train/rewards/margins',
  rewardsAccuracies: 'train/rewards/accuracies',
  logpsChosen: 'train/logps/chosen',
  logpsRejected: 'train/logps/rejected',
  kl: 'train/kl',
  validationLoss: 'eval/loss',
};

/** Remembers what it has given. A point may come twice: at its step, and at the end of its training. */
export class Points {
  readonly #store: Store;
  /** Finished trainings, by path and key. */
  readonly #finished = new Set<string>();
  /** Event files of running trainings, by run and path. `last` is their newest step, whose validation loss may still come. */
  readonly #running = new Map<string, { offset: number; last: CurvePoint | undefined }>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** Points that have come since the last call. The memory holds those of one training. */
  async *of(record: ExperimentRecord): AsyncGenerator<readonly Point[]> {
    const trainings = record.steps.filter(({ kind, stepKey }) => kind === 'train' && stepKey !== null);
    for (const step of trainings) yield (await this.#ofTraining(`${record.name}/${step.path}`, step)) ?? [];
    yield ofRounds(record);
  }

  async #ofTraining(run: string, { stepKey, state }: Step): Promise<readonly Point[] | undefined> {
    const key = stepKey!;
    if (this.#finished.has(`${run} ${key}`)) return undefined;
    const output = await this.#store.output(key);
    if (!output) return state === 'running' ? timed(run, await this.#live(run, key), Date.now()) : undefined;
    const points: CurvePoint[] = [];
    if (output.curve) for await (const { value } of this.#store.read(output.curve.records)) points.push(value as CurvePoint);
    this.#finished.add(`${run} ${key}`);
    return timed(run, points, Date.parse(output.made));
  }

  async #live(run: string, key: string): Promise<CurvePoint[]> {
    const path = await eventFileOf(this.#store, key);
    const file = `${run} ${path}`;
    const before = this.#running.get(file) ?? { offset: 0, last: undefined };
    const { lines, end } = linesFrom(path, before.offset);
    const points: CurvePoint[] = [];
    let { last } = before;
    for (const line of lines) {
      const event = parseEvent(line);
      if (event?.event === 'evaluation' && last?.step === event.step) last = { ...last, validationLoss: event.loss };
      if (event?.event !== 'step') continue;
      if (last) points.push(last);
      const { v: _, event: __, ...measures } = event;
      last = measures;
    }
    this.#running.set(file, { offset: end, last });
    return points;
  }
}

function timed(run: string, points: readonly CurvePoint[], end: number): Point[] {
  let time = end / 1000 - points.reduce((sum, { seconds }) => sum + seconds, 0);
  return points.map(({ step, seconds, ...measures }) => {
    time += seconds;
    const metrics = Object.entries(measures).flatMap(([name, value]) =>
      typeof value === 'number' ? [[METRICS[name as keyof typeof METRICS], value] as const] : [],
    );
    return { run, step, time, metrics: Object.fromEntries(metrics) };
  });
}

const ofRounds = ({ name, steps, updated }: ExperimentRecord): Point[] =>
  measured(steps).map(({ round, arm, ...numbers }) => ({
    run: arm === null ? name : `${name}/${arm}`,
    step: round,
    time: Date.parse(updated) / 1000,
    metrics: Object.fromEntries(Object.entries(numbers).filter((entry): entry is [string, number] => typeof entry[1] === 'number')),
  }));
