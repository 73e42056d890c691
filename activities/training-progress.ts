/** What the heartbeat of a training, embedding, scoring or tagging tells a person in the Temporal UI: how far it is, and the end of its curve. */
import { duration, number, size } from '../schemas/units.ts';
import type { StepEvent, TrainEvent } from '../schemas/trainer.ts';
import { SpikeDetector } from '../steps/curve.ts';

/** Sentences for people, next to the `LeaseState` in the heartbeat details. */
export interface TrainingProgress {
  /** `7 of 40 steps, about 33 s left`; `7 of 40 rows` if nothing is trained. */
  readonly progress: string;
  /** A line for each of the last steps, the newest last. */
  readonly curve?: readonly string[];
  readonly validationLoss?: string;
  /** Steps whose loss jumped. */
  readonly lossJumped?: string;
}

/** Lines of the curve: heartbeat details are copied with every heartbeat, and must stay small. */
const LINES = 10;
/** Steps whose median duration gives the time left. */
const TIMED = 50;

/** Follows the events of a run from the first, including those of earlier attempts. */
export class ProgressOfTraining {
  readonly #unit: 'steps' | 'rows';
  #of: number | null = null;
  #done = 0;
  #steps: StepEvent[] = [];
  #spikes = new SpikeDetector();
  #validation: string | undefined;
  #doing: string | undefined;

  /** @param unit what the run counts: optimizer steps of a training, else rows */
  constructor(unit: 'steps' | 'rows') {
    this.#unit = unit;
  }

  add(event: TrainEvent): void {
    this.#doing = undefined;
    if (event.event === 'start') this.#start(event.resumedFrom ?? 0, event.steps);
    if (event.event === 'step') this.#step(event);
    if (event.event === 'checkpoint') this.#done = Math.max(this.#done, event.step);
    if (event.event === 'evaluation') this.#validation = `${number(event.loss)} after step ${number(event.step)}`;
    if (event.event === 'reference') this.#doing = `computes the reference, ${number(event.done)} of ${number(event.of)} parts`;
    if (event.event === 'evaluating') this.#doing = `measures the validation loss, ${number(event.done)} of ${number(event.of)} batches`;
    if (event.event === 'stopped') this.#doing = 'stopped at a checkpoint';
    if (event.event === 'error') this.#doing = event.message.slice(0, 500);
  }

  get now(): TrainingProgress {
    const { steps: spikes } = this.#spikes;
    const done = `${number(this.#done)}${this.#of === null ? '' : ` of ${number(this.#of)}`} ${this.#unit}`;
    return {
      progress: [done, ...this.#left(), ...(this.#doing === undefined ? [] : [this.#doing])].join(', '),
      ...(this.#steps.length > 0 && { curve: this.#steps.slice(-LINES).map(lineOf) }),
      ...(this.#validation !== undefined && { validationLoss: this.#validation }),
      ...(spikes.length > 0 && { lossJumped: `at step ${spikes.slice(-3).map(number).join(', ')}` }),
    };
  }

  /** A resumed run repeats the steps after its checkpoint. */
  #start(from: number, of: number): void {
    [this.#done, this.#of, this.#spikes] = [from, of, new SpikeDetector()];
    this.#steps = this.#steps.filter(({ step }) => step <= from);
    for (const { step, loss } of this.#steps) this.#spikes.add(step, loss);
  }

  #step(event: StepEvent): void {
    this.#done = event.step;
    this.#steps = [...this.#steps.slice(1 - TIMED), event];
    this.#spikes.add(event.step, event.loss);
  }

  #left(): string[] {
    const seconds = this.#steps.map((step) => step.seconds).toSorted((a, b) => a - b)[this.#steps.length >> 1];
    const left = (this.#of ?? 0) - this.#done;
    return seconds === undefined || left <= 0 ? [] : [`about ${duration(left * seconds)} left`];
  }
}

function lineOf({ step, loss, gradNorm, tokens, seconds, learningRate, rewardsMargins, memory }: StepEvent): string {
  return [
    `step ${number(step)}: loss ${loss.toFixed(4)}`,
    ...(rewardsMargins === undefined ? [] : [`margin ${rewardsMargins.toFixed(4)}`]),
    ...(typeof gradNorm === 'number' ? [`grad norm ${gradNorm.toPrecision(3)}`] : []),
    `rate ${learningRate.toExponential(2)}`,
    ...(seconds > 0 ? [`${number(Math.round(tokens / seconds))} tokens/s`] : []),
    ...(memory === undefined ? [] : [size(memory)]),
  ].join(', ');
}
