/** Prints the progress of `watch` as lines if there is no terminal. */
import { describeStep, leftText } from './tree.ts';
import type { StepView, View } from '../../experiments/view.ts';

/** Milliseconds. */
const EVERY = 30_000;

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
}

/** Computes the speed of running steps from the oldest and newest of their last samples. */
export class Rates {
  readonly #looks = new Map<string, { at: number; done: number }[]>();
  readonly #keep: number;

  constructor(keep: number) {
    this.#keep = keep;
  }

  sample({ steps }: Pick<View, 'steps'>, now: number): void {
    for (const { path, live } of steps)
      if (live) this.#looks.set(path, [...(this.#looks.get(path) ?? []), { at: now, done: live.done }].slice(-this.#keep));
  }

  /** Records or optimizer steps per second; undefined if not known yet. */
  of(path: string): number | undefined {
    const looks = this.#looks.get(path) ?? [];
    const [first, last] = [looks[0], looks.at(-1)];
    return first && last && last.at > first.at ? (1000 * (last.done - first.done)) / (last.at - first.at) : undefined;
  }
}

/** Prints a line when a step or the experiment changes its state, and every half minute for each running step. */
export class Lines {
  readonly #printed = new Map<string, { state: string; at: number }>();
  readonly #rates = new Rates(EVERY / 1_000);
  readonly #clock: Clock;
  readonly #print: (line: string) => void;

  constructor(clock: Clock = Date, print: (line: string) => void = console.log) {
    this.#clock = clock;
    this.#print = print;
  }

  show(view: View, stale: string | null, left: number | null = null): void {
    this.#rates.sample(view, this.#clock.now());
    for (const step of view.steps) this.#step(step, left);
    const { state, round, failure, experiment, notices } = view;
    for (const notice of notices) this.#printChange(notice, '', notice);
    this.#printChange(
      '',
      `${state}/${round}`,
      `${experiment} ${state}${round === null ? '' : `, round ${round}`}${failure ? `: ${failure}` : ''}`,
    );
    this.#printChange('stale', stale ?? '', stale === null ? 'the orchestrator answers' : `note: ${stale}`, stale === null);
  }

  #step(step: StepView, left: number | null): void {
    const { path, state } = step;
    const before = this.#printed.get(path);
    if (state === 'running' && before?.state === state && this.#clock.now() - before.at >= EVERY) {
      this.#printed.delete(path);
      const line = `${path} ${describeStep(step, this.#rates.of(path), this.#clock.now())}`;
      return this.#printChange(path, state, [line, ...leftText(left)].join('; in all '));
    }
    this.#printChange(path, state, `${path} ${state}${state === 'completed' ? `: ${describeStep(step)}` : ''}`);
  }

  #printChange(what: string, state: string, line: string, quietAtFirst = false): void {
    const before = this.#printed.get(what);
    if (before?.state === state) return;
    const at = this.#clock.now();
    this.#printed.set(what, { state, at });
    if (!(before === undefined && quietAtFirst)) this.#print(`${new Date(at).toTimeString().slice(0, 8)} ${line}`);
  }
}
