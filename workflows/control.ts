/** Carries out the updates that people send to an experiment. `updates.ts` has checked them. */
import type { BoundConfig } from '../schemas/config.ts';
import type { Attention } from '../schemas/experiment.ts';
import type { EditedConfig, Review } from '../schemas/messages.ts';
import type { Budget } from '../schemas/steps.ts';
import type { RunningSteps } from './running-steps.ts';
import type { ExperimentState } from './state.ts';
import type { StepTable } from './step-table.ts';
import type { Answer, Listener } from './updates.ts';

export class Control implements Listener {
  readonly config: BoundConfig;
  readonly #state: ExperimentState;
  readonly #table: StepTable;
  readonly #running: RunningSteps;

  constructor(config: BoundConfig, state: ExperimentState, table: StepTable, running: RunningSteps) {
    this.config = config;
    this.#state = state;
    this.#table = table;
    this.#running = running;
  }

  get paused(): boolean {
    return this.#state.paused;
  }
  get round(): number | null {
    return this.#state.round;
  }
  get waiting(): readonly Attention[] {
    return [...this.#state.attention.values()];
  }
  get maps(): readonly string[] {
    return this.#table.maps;
  }
  get edited(): EditedConfig | undefined {
    return this.#state.edited;
  }
  roundOf(path: string): number | null {
    return this.#state.attention.get(path)?.round ?? null;
  }

  /** Interrupts what runs. What waits for a person holds no device, and goes on waiting. */
  pause(): void {
    this.#state.paused = true;
    this.#running.interrupt(({ path }) => !this.#state.attention.has(path));
    this.#state.publish();
  }
  resume(): void {
    this.#state.paused = false;
    this.#state.publish();
  }
  stopAfter(round: number): void {
    this.#state.stopAfter = round;
    this.#state.publish();
  }
  answer(path: string, answer: Answer, edited?: EditedConfig): void {
    const state = this.#state;
    const waiting = state.attention.get(path)!;
    state.edited ??= edited;
    if (answer === 'approve') state.approved.add(path);
    if (answer === 'reject') {
      state.rejected.add(path);
      state.stopAfter = waiting.round! - 1;
      this.#running.interrupt(({ round }) => state.isUndone(round));
    }
    waiting.answer = answer;
    state.publish();
  }
  review(path: string, review: Review): void {
    this.#state.reviews.set(path, review);
    this.answer(path, 'review');
  }
  /** A map that runs begins again under the new budget, after the batches that it has done. */
  setBudget(path: string, more: Budget): void {
    const state = this.#state;
    state.budgets.set(path, { ...state.budgets.get(path), ...more });
    state.approved.delete(path);
    const waiting = state.attention.get(path);
    if (waiting) waiting.answer = 'set-budget';
    else this.#running.interrupt((call) => call.path === path);
    state.publish();
  }
}
