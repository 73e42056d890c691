/** What a person may say to a running experiment. Everything is checked before it is taken, so that what is refused leaves no trace. */
import { ApplicationFailure, setHandler } from '@temporalio/workflow';
import type { Budget } from '../schemas/steps.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { Attention } from '../schemas/experiment.ts';
import { failureOf } from './errors.ts';
import * as messages from '../schemas/messages.ts';

export type Answer = 'approve' | 'reject' | 'retry-step' | 'give-up';

/** The experiment, as far as it takes what is said. */
export interface Listener {
  readonly config: BoundConfig;
  readonly paused: boolean;
  readonly round: number | null;
  readonly waiting: readonly Attention[];
  /** Paths of the maps that have begun and not ended. */
  readonly maps: readonly string[];
  /** Settings that no run has begun with yet. */
  readonly mended: messages.EditedConfig | undefined;
  roundOf(path: string): number | null;
  pause(): void;
  resume(): void;
  stopAfter(round: number): void;
  setBudget(path: string, more: Budget): void;
  answer(path: string, answer: Answer, mended?: messages.EditedConfig): void;
}

const where = { path: 'r1/gate' };
const limits: Required<Budget> = { candidates: 1000, tokens: 200_000, attempts: 5000, minutes: 30 };

/** What goes wrong with an update refuses it, and does not stop the experiment. */
const on: typeof setHandler = ((update: never, handler: (given: never) => void, options: never) => {
  const handled = (given: never) => {
    try {
      return handler(given);
    } catch (error) {
      throw failureOf(error);
    }
  };
  setHandler(update, handled as never, options);
}) as never;

export function listen(control: Listener): void {
  on(messages.pause, () => control.pause(), {
    description: 'Stops within two seconds and gives the devices back. Takes nothing.',
    validator: () => refuseIf(control.paused, 'The experiment is paused already.'),
  });
  on(messages.resume, () => control.resume(), {
    description: 'Goes on after a pause. Takes nothing.',
    validator: () => refuseIf(!control.paused, 'The experiment is not paused.'),
  });
  on(messages.stopAfterRound, ({ round }) => control.stopAfter(round), {
    description: 'Ends the experiment, completed, once this round has: {"round": 2}',
    validator: (given) => {
      const { round = NaN } = parseOrThrow({ round: 2 }, given);
      const now = control.round ?? 0;
      refuseIf(!(Number.isInteger(round) && round >= now), `The experiment is in round ${now}: name that round or a later one.`);
    },
  });
  on(messages.setBudget, ({ path, ...more }) => control.setBudget(budgeted(control, path), more), {
    description: `Changes the budget of a map: ${JSON.stringify({ path: 'r1/judge', ...limits })}; what is left out stays as it is.`,
    validator: (given) => {
      const { path, ...more } = parseOrThrow({ path: 'r1/judge', ...limits }, given);
      refuseIf(Object.keys(more).length === 0, `A budget names one of ${Object.keys(limits).join(', ')}, such as {"tokens": 200000}.`);
      refuseIf(
        Object.values(more).some((most) => most === 0),
        'A budget of nothing ends no step: `give-up` or `cancel` does.',
      );
      budgeted(control, path);
    },
  });
  const answers = (update: typeof messages.approve, answer: Answer, kinds: readonly Attention['kind'][], description: string) =>
    on(update, (given) => control.answer(waiting(control, given?.path, kinds, answer), answer), {
      description: `${description} ${JSON.stringify(where)}, or nothing where one thing waits.`,
      validator: (given) => {
        const path = waiting(control, parseOrThrow(where, given).path, kinds, answer);
        if (answer !== 'reject') return;
        refuseIf(
          control.roundOf(path) === null,
          `${path} is in no round, so there is nothing to end with: give-up ends the experiment as failed.`,
        );
      },
    });
  answers(messages.approve, 'approve', ['gate', 'budget'], 'Lets a gate pass, or a map whose budget is spent go on with what there is.');
  answers(messages.reject, 'reject', ['gate'], 'Undoes the round of a gate: the experiment ends with what it had before.');
  const failed = (path: string | undefined) => waiting(control, path, ['step'], 'retry-step');
  on(
    messages.retryStep,
    ({ path, config, configDigest } = {}) =>
      control.answer(failed(path), 'retry-step', config && configDigest ? { config, configDigest } : undefined),
    {
      description: `Runs a step that failed again, with the files that were read in as they are now: ${JSON.stringify(where)}, or nothing where one thing waits.`,
      validator: (given) => {
        const { path, config, configDigest } = parseOrThrow({ ...where, config: {} as BoundConfig, configDigest: '' }, given);
        failed(path);
        refuseIf(
          (config === undefined) !== (configDigest === undefined),
          'Other settings come with their digest: `backspin retry-step` knows it.',
        );
        refuseIf(control.mended !== undefined, 'Other settings are just being taken up: say it again in a moment.');
        for (const key of ['name', 'recipe'] as const)
          refuseIf(
            config !== undefined && config[key] !== control.config[key],
            `These settings are of the ${key === 'name' ? 'experiment' : 'recipe'} ${config?.[key]}, and this is ${control.config[key]}.`,
          );
      },
    },
  );
  answers(messages.giveUp, 'give-up', ['gate', 'budget', 'step'], 'Gives up what waits: the experiment fails.');
}

/** The path of the one thing that this word is for. */
function waiting(control: Listener, path: string | undefined, kinds: readonly Attention['kind'][], answer: Answer): string {
  const paths = control.waiting.filter(({ kind }) => kinds.includes(kind)).map((one) => one.path);
  return resolveTarget(paths, path, `waits for ${answer}`);
}

/** The path of the map that a budget is for: one whose budget is spent, or the named one of all that have not ended. */
function budgeted(control: Listener, path: string | undefined): string {
  const spent = control.waiting.filter(({ kind }) => kind === 'budget').map((one) => one.path);
  return resolveTarget(path === undefined && spent.length > 0 ? spent : control.maps, path, 'can be given a budget');
}

/** The one of these paths that is meant, by the whole of it or its end. */
function resolveTarget(paths: readonly string[], path: string | undefined, what: string): string {
  const found = path === undefined ? paths : paths.filter((one) => one === path || one.endsWith(`/${path}`));
  refuseIf(paths.length === 0, `Nothing here ${what}.`);
  refuseIf(found.length === 0, `No "${path}" here ${what}. These do: ${paths.join(', ')}.`);
  refuseIf(found.length > 1, `More than one ${what}; name one: ${found.join(', ')}.`);
  return found[0]!;
}

/** Typed by hand, perhaps: an object with some of the example's keys, values of their types, no number below 0. */
function parseOrThrow<T extends object>(example: T, given: unknown): Partial<T> {
  const fits = ([key, value]: [string, unknown]) => typeof value === typeof example[key as keyof T] && !(Number(value) < 0);
  const sound = given === undefined || (typeof given === 'object' && given !== null && Object.entries(given).every(fits));
  refuseIf(!sound || Array.isArray(given), `${JSON.stringify(given)} is not of the form ${JSON.stringify(example)}.`);
  return given ?? {};
}

function refuseIf(refused: boolean, why: string): void {
  if (refused) throw ApplicationFailure.nonRetryable(why, 'Refused');
}
