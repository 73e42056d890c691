/** The updates that a running experiment accepts. Validators check them, so that a refused update leaves no event in the history. */
import { ApplicationFailure, setHandler } from '@temporalio/workflow';
import type { Budget } from '../schemas/steps.ts';
import { isRef } from '../schemas/call.ts';
import type { BoundConfig } from '../schemas/config.ts';
import type { Attention } from '../schemas/experiment.ts';
import { failureOf } from './errors.ts';
import * as messages from '../schemas/messages.ts';

export type Answer = 'approve' | 'review' | 'reject' | 'retry-step' | 'give-up';

/** What the updates need of an experiment. */
export interface Listener {
  readonly config: BoundConfig;
  readonly paused: boolean;
  readonly round: number | null;
  readonly waiting: readonly Attention[];
  /** Paths of the maps that have begun and not ended. */
  readonly maps: readonly string[];
  /** Edited settings that no run has begun with yet. */
  readonly edited: messages.EditedConfig | undefined;
  roundOf(path: string): number | null;
  pause(): void;
  resume(): void;
  stopAfter(round: number): void;
  setBudget(path: string, more: Budget): void;
  answer(path: string, answer: Answer, edited?: messages.EditedConfig): void;
  review(path: string, review: messages.Review): void;
}

const where = { path: 'r1/gate' };
const limits: Required<Budget> = { candidates: 1000, tokens: 200_000, attempts: 5000, minutes: 30 };

/** An error in a handler fails the update, and not the experiment. */
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
  listenForPauses(control);
  listenForBudgets(control);
  listenForAnswers(control);
  listenForReviews(control);
}

function listenForPauses(control: Listener): void {
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
}

function listenForBudgets(control: Listener): void {
  on(messages.setBudget, ({ path, ...more }) => control.setBudget(mapPath(control, path), more), {
    description: `Changes the budget of a map: ${JSON.stringify({ path: 'r1/judge', ...limits })}; what is left out stays as it is.`,
    validator: (given) => {
      const { path, ...more } = parseOrThrow({ path: 'r1/judge', ...limits }, given);
      refuseIf(Object.keys(more).length === 0, `A budget names one of ${Object.keys(limits).join(', ')}, such as {"tokens": 200000}.`);
      refuseIf(
        Object.values(more).some((most) => most === 0),
        'A budget of nothing ends no step: `give-up` or `cancel` does.',
      );
      mapPath(control, path);
    },
  });
}

function listenForAnswers(control: Listener): void {
  const answers = (update: typeof messages.approve, answer: Answer, kinds: readonly Attention['kind'][], description: string) =>
    on(update, (given) => control.answer(waitingPath(control, given?.path, kinds, answer), answer), {
      description: `${description} ${JSON.stringify(where)}, or nothing where one thing waits.`,
      validator: (given) => {
        const path = waitingPath(control, parseOrThrow(where, given).path, kinds, answer);
        if (answer !== 'reject') return;
        refuseIf(
          control.roundOf(path) === null,
          `${path} is in no round, so there is nothing to end with: give-up ends the experiment as failed.`,
        );
      },
    });
  answers(messages.approve, 'approve', ['gate', 'budget'], 'Lets a gate pass, or a map whose budget is spent go on with what there is.');
  answers(messages.reject, 'reject', ['gate'], 'Undoes the round of a gate: the experiment ends with what it had before.');
  const failedPath = (path: string | undefined) => waitingPath(control, path, ['step'], 'retry-step');
  on(
    messages.retryStep,
    ({ path, config, configDigest } = {}) =>
      control.answer(failedPath(path), 'retry-step', config && configDigest ? { config, configDigest } : undefined),
    {
      description: `Runs a step that failed again, with the files that were read in as they are now: ${JSON.stringify(where)}, or nothing where one thing waits.`,
      validator: (given) => {
        const { path, ...edited } = parseOrThrow({ ...where, config: {} as BoundConfig, configDigest: '' }, given);
        failedPath(path);
        checkEdited(control, edited);
      },
    },
  );
  answers(messages.giveUp, 'give-up', ['gate', 'budget', 'step'], 'Gives up what waits: the experiment fails.');
}

const reviewed: messages.Review = {
  of: 'DIGEST',
  verdicts: { kind: 'dataset', digest: 'DIGEST', rows: 50 },
  counts: { approved: 43, rejected: 5, edited: 2 },
  rejected: 'drop',
};

function listenForReviews(control: Listener): void {
  on(messages.review, ({ path, ...review }) => control.review(waitingPath(control, path, ['gate'], 'review'), review), {
    description: `Lets a gate pass with its records as a review left them; \`backspin review\` sends it: ${JSON.stringify({ ...where, ...reviewed })}`,
    validator: (given) => {
      const { path, of, verdicts, counts, rejected } = parseOrThrow({ ...where, ...reviewed }, given);
      const gate = waitingPath(control, path, ['gate'], 'review');
      const numbers = Object.keys(reviewed.counts).map((name) => counts?.[name as keyof typeof counts]);
      const sum = numbers.reduce((total, number) => total! + (Number.isInteger(number) ? number! : NaN), 0);
      refuseIf(
        isRef(verdicts) && verdicts.kind === 'dataset' ? sum !== verdicts.rows || (rejected !== 'drop' && rejected !== 'keep') : true,
        `A review holds its verdicts, as many as it counts: \`backspin review\` sends it.`,
      );
      const { records } = control.waiting.find((one) => one.path === gate)!;
      refuseIf(records?.digest !== of, `These verdicts are of other records than ${gate} holds now: review them again.`);
    },
  });
}

function checkEdited(control: Listener, { config, configDigest }: Partial<messages.EditedConfig>): void {
  refuseIf(
    (config === undefined) !== (configDigest === undefined),
    'Other settings come with their digest: `backspin retry-step` knows it.',
  );
  refuseIf(control.edited !== undefined, 'Other settings are just being taken up: say it again in a moment.');
  for (const key of ['name', 'recipe'] as const)
    refuseIf(
      config !== undefined && config[key] !== control.config[key],
      `These settings are of the ${key === 'name' ? 'experiment' : 'recipe'} ${config?.[key]}, and this is ${control.config[key]}.`,
    );
}

/** The path at attention that an answer is for: the given one, or the only one. */
function waitingPath(control: Listener, path: string | undefined, kinds: readonly Attention['kind'][], answer: Answer): string {
  const paths = control.waiting.filter(({ kind }) => kinds.includes(kind)).map((one) => one.path);
  return resolveTarget(paths, path, `waits for ${answer}`);
}

/** The path of the map that a budget is for: the named one of all that have not ended; without a name the one whose budget is spent. */
function mapPath(control: Listener, path: string | undefined): string {
  const spent = control.waiting.filter(({ kind }) => kind === 'budget').map((one) => one.path);
  return resolveTarget(path === undefined && spent.length > 0 ? spent : control.maps, path, 'can be given a budget');
}

/** The one of these paths that equals the given path or ends with it. `does`: what they do, for the refusal. */
function resolveTarget(paths: readonly string[], path: string | undefined, does: string): string {
  const found = path === undefined ? paths : paths.filter((one) => one === path || one.endsWith(`/${path}`));
  refuseIf(paths.length === 0, `Nothing here ${does}.`);
  refuseIf(found.length === 0, `No "${path}" here ${does}. These do: ${paths.join(', ')}.`);
  refuseIf(found.length > 1, `More than one ${does}; name one: ${found.join(', ')}.`);
  return found[0]!;
}

/** Checks what people may have typed by hand: an object with some of the example's keys, values of their types, no number below 0. */
function parseOrThrow<T extends object>(example: T, given: unknown): Partial<T> {
  const fits = ([key, value]: [string, unknown]) => typeof value === typeof example[key as keyof T] && !(Number(value) < 0);
  const sound = given === undefined || (typeof given === 'object' && given !== null && Object.entries(given).every(fits));
  refuseIf(!sound || Array.isArray(given), `${JSON.stringify(given)} is not of the form ${JSON.stringify(example)}.`);
  return given ?? {};
}

function refuseIf(refused: boolean, why: string): void {
  if (refused) throw ApplicationFailure.nonRetryable(why, 'Refused');
}
