/** Estimates how long an experiment still runs: the steps that its plan has, at the speeds that its own steps had. */
import type { BoundConfig } from '../schemas/config.ts';
import type { ExperimentRecord } from '../schemas/experiment.ts';
import type { PlannedStep } from '../schemas/plan.ts';
import type { Output } from '../schemas/store.ts';
import type { Store } from '../store/store.ts';
import type { Live, LiveCounts } from './live.ts';
import type { View } from './view.ts';

/** A running step: seconds that it still needs, by its own speed; undefined: not known yet. `share`: the part of it that is done, 0 to 1. */
export interface Running {
  readonly seconds: number | undefined;
  readonly share: number;
}

interface Speed {
  readonly seconds: number;
  readonly of: number;
}

/**
 * Seconds until the last step ends, if each pool does one step at a time and the pools work side by side. null: a step still to come is of a
 * kind that no step so far tells the speed of. Steps without requests and without optimizer steps count nothing: they take seconds.
 *
 * @param running by path
 */
export function secondsLeft(
  steps: readonly PlannedStep[],
  outputs: readonly Output[],
  running: ReadonlyMap<string, Running>,
): number | null {
  const own = outputs.filter(({ seconds }) => seconds > 0);
  const asked = own.filter(({ requests }) => requests > 0).map((one) => ({ ...one, of: one.requests }));
  const trained = own.flatMap((one) => (one.curve ? [{ ...one, of: one.curve.last.step }] : []));
  const perPool = new Map<string | null, number>();
  for (const { path, cached, operation, requests, trainingSteps, pool, kind } of steps) {
    if (cached) continue;
    const { seconds: known, share = 0 } = running.get(path) ?? {};
    const [work, done] = kind === 'train' ? [trainingSteps, trained] : [requests, asked];
    if (known === undefined && work === 0) continue;
    const speed = speedOf(done.filter((one) => one.operation === operation)) ?? speedOf(done);
    const seconds = known ?? (work === null || speed === undefined ? undefined : work * (1 - share) * speed);
    if (seconds === undefined) return null;
    perPool.set(pool, (perPool.get(pool) ?? 0) + seconds);
  }
  return Math.max(0, ...perPool.values());
}

/** Milliseconds between two plans: a plan takes seconds. */
const PLAN_EVERY = 20_000;

/** The time left of an experiment that is being watched. Its plan is made again in the background as steps end. */
export class TimeLeft {
  readonly #store: Store;
  readonly #live: LiveCounts;
  readonly #plan: (config: BoundConfig) => Promise<readonly PlannedStep[]>;
  #steps: readonly PlannedStep[] | undefined;
  #planned = { completed: -1, at: -Infinity };

  constructor(store: Store, live: LiveCounts, plan: (config: BoundConfig) => Promise<readonly PlannedStep[]>) {
    this.#store = store;
    this.#live = live;
    this.#plan = plan;
  }

  /** Seconds; null: not known. `rate`: records or optimizer steps per second of a running step. */
  async look({ config, steps }: Pick<ExperimentRecord, 'config' | 'steps'>, view: View, rate: (path: string) => number | undefined) {
    if (view.state !== 'running') return null;
    await this.#planAgain(config as BoundConfig, steps.filter(({ state }) => state === 'completed').length);
    if (!this.#steps) return null;
    const own = steps.flatMap(({ stepKey, cached }) => (stepKey === null || cached ? [] : [stepKey]));
    const outputs = (await Promise.all(own.map((stepKey) => this.#live.output(this.#store, stepKey)))).flatMap((one) => one ?? []);
    const running = view.steps.flatMap(({ path, live }) => (live ? [[path, runningOf(live, rate(path))] as const] : []));
    const ended = new Set(steps.flatMap(({ path, state }) => (state === 'completed' ? [path] : [])));
    return secondsLeft(
      this.#steps.filter(({ path }) => !ended.has(path)),
      outputs,
      new Map(running),
    );
  }

  async #planAgain(config: BoundConfig, completed: number): Promise<void> {
    const now = performance.now();
    if (completed === this.#planned.completed || now - this.#planned.at < PLAN_EVERY) return;
    this.#planned = { completed, at: now };
    const steps = this.#plan(config).then(
      (planned) => (this.#steps = planned),
      () => {}, // what is wrong with the plan, the experiment itself will say
    );
    if (this.#steps === undefined) await steps;
  }
}

const runningOf = ({ done, of }: Live, rate: number | undefined): Running => ({
  seconds: of !== null && rate !== undefined && rate > 0 ? (of - done) / rate : undefined,
  share: of === null || of === 0 ? 0 : done / of,
});

/** Seconds for each request or optimizer step. */
function speedOf(done: readonly Speed[]): number | undefined {
  const of = done.reduce((sum, one) => sum + one.of, 0);
  return of === 0 ? undefined : done.reduce((sum, { seconds }) => sum + seconds, 0) / of;
}
