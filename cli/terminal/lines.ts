/** What `watch` prints where no terminal is: a line for each change, and every half minute one for each step that runs. */
import { about } from './tree.ts';
import type { StepView, View } from '../../experiments/view.ts';

/** Milliseconds. */
const EVERY = 30_000;

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
}

/** How fast running steps come on: between the oldest and the newest of the last looks at each. */
export class Rates {
  readonly #looks = new Map<string, { at: number; done: number }[]>();
  readonly #keep: number;

  constructor(keep: number) {
    this.#keep = keep;
  }

  look({ steps }: Pick<View, 'steps'>, now: number): void {
    for (const { path, live } of steps)
      if (live) this.#looks.set(path, [...(this.#looks.get(path) ?? []), { at: now, done: live.done }].slice(-this.#keep));
  }

  /** Records or optimizer steps a second; undefined: not known yet. */
  of(path: string): number | undefined {
    const looks = this.#looks.get(path) ?? [];
    const [first, last] = [looks[0], looks.at(-1)];
    return first && last && last.at > first.at ? (1000 * (last.done - first.done)) / (last.at - first.at) : undefined;
  }
}

/** One line for each step that changes its state, for each change of the experiment's, and every half minute for each that runs. */
export class Lines {
  readonly #said = new Map<string, { state: string; at: number }>();
  readonly #rates = new Rates(EVERY / 1_000);
  readonly #clock: Clock;
  readonly #print: (line: string) => void;

  constructor(clock: Clock = Date, print: (line: string) => void = console.log) {
    this.#clock = clock;
    this.#print = print;
  }

  show(view: View, stale: string | null): void {
    this.#rates.look(view, this.#clock.now());
    for (const step of view.steps) this.#step(step);
    const { state, round, failure, experiment, notices } = view;
    for (const notice of notices) this.#say(notice, '', notice);
    this.#say('', `${state}/${round}`, `${experiment} ${state}${round === null ? '' : `, round ${round}`}${failure ? `: ${failure}` : ''}`);
    this.#say('stale', stale ?? '', stale === null ? 'the orchestrator answers' : `note: ${stale}`, stale === null);
  }

  #step(step: StepView): void {
    const { path, state } = step;
    const before = this.#said.get(path);
    if (state === 'running' && before?.state === state && this.#clock.now() - before.at >= EVERY) {
      this.#said.delete(path);
      return this.#say(path, state, `${path} ${about(step, this.#rates.of(path), this.#clock.now())}`);
    }
    this.#say(path, state, `${path} ${state}${state === 'completed' ? `: ${about(step)}` : ''}`);
  }

  #say(what: string, state: string, line: string, quietAtFirst = false): void {
    const before = this.#said.get(what);
    if (before?.state === state) return;
    const at = this.#clock.now();
    this.#said.set(what, { state, at });
    if (!(before === undefined && quietAtFirst)) this.#print(`${new Date(at).toTimeString().slice(0, 8)} ${line}`);
  }
}
