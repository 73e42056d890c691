/** A run of the miniature through its trials, and what must hold of it whatever was done. */
import { compareViews } from '../../cli/chaos/compare.ts';
import type { Recovery } from '../../cli/chaos/disturb.ts';
import { BackspinError } from '../../schemas/errors.ts';
import type { View } from '../../experiments/view.ts';
import { IN_FLIGHT, Miniature } from '../support/miniature.ts';
import { make, spoilt } from '../support/trouble.ts';
import { inflict } from './inflict.ts';
import { nameOf, settingFor, type Cell, type Poison, type Run } from './matrix.ts';
import type { Spot } from './spots.ts';

/** Milliseconds, of a machine with much else to do. */
const ENDS_WITHIN = 1_200_000;
const COMES_WITHIN = 600_000;
export interface Tried {
  readonly cell: Cell;
  readonly recovery: Recovery | null;
}
export interface Outcome {
  readonly tried: readonly Tried[];
  /** Cells whose step, or the part of it that they hit, was over before they could be tried: a fault before them had held up something else. */
  readonly missed: readonly Cell[];
  /** Of the end. */
  readonly view: View;
  /** From the launch to the end. */
  readonly seconds: number;
  /** Requests that were answered more than once. */
  readonly again: number;
  /** Records, one of each step's, that a model was asked about. */
  readonly asking: readonly string[];
  /** What should hold and does not, a sentence each. */
  readonly broken: readonly string[];
}
export interface Circumstances {
  /** An undisturbed run, which this one must equal. */
  readonly reference?: View;
  /** An undisturbed run that has the steps at whose moments trials are. Default: the reference. */
  readonly before?: View;
  /** Records that the server refuses, and how. */
  readonly poisoned?: { readonly poison: Poison; readonly records: readonly string[] };
  /** Its files are those of after the upgrade, from the beginning. */
  readonly upgraded?: boolean;
  /** Seconds in which something must go on. Default: 20. */
  readonly within?: number;
  /** Default: the miniature. */
  readonly experiment?: ConstructorParameters<typeof Miniature>[1];
}

/** Runs the miniature to its end in a home of its own; at each trial's moment its fault is done. */
export async function carryOut(
  run: Run,
  { reference, before = reference, poisoned, upgraded, within = 20, experiment }: Circumstances = {},
): Promise<Outcome> {
  const setting = settingFor(run.map(({ cell }) => cell));
  const miniature = new Miniature({ ...setting, ...(poisoned && { network: true }), ...(upgraded && { own: true }) }, experiment);
  if (upgraded) miniature.changeFiles();
  if (poisoned) make(miniature.home, { trouble: null, poisoned: poisoned.records, status: outcomes[poisoned.poison].status });
  try {
    await miniature.up();
    const began = performance.now();
    await miniature.launch();
    const tried: Tried[] = [];
    const missed: Cell[] = [];
    for (const { cell, spot } of run) {
      const stepKey = await come(miniature, spot, before!);
      const recovery = stepKey === undefined ? undefined : await inflict(miniature, cell, stepKey).catch(tooLateFor(cell));
      if (recovery === undefined) missed.push(cell);
      else tried.push({ cell, recovery });
    }
    await miniature.until(() => miniature.completed, ENDS_WITHIN, 'the experiment is completed');
    const seconds = (performance.now() - began) / 1000;
    const view = await miniature.status();
    const asking = await miniature.asking(view);
    await miniature.down();
    const again = total(miniature.asked().map((one) => one.again));
    const broken = [...(reference ? compareViews(reference, view) : []), ...brokenIn(miniature, view, tried, again)];
    for (const { cell, recovery } of tried)
      if (recovery && recovery.progress > within) broken.push(`${nameOf(cell)}: nothing went on for ${recovery.progress.toFixed(1)} s`);
    if (poisoned) broken.push(...unpoisoned(view, outcomes[poisoned.poison].dropped));
    if (broken.length === 0) miniature.remove();
    return { tried, missed, view, seconds, again, asking, broken };
  } finally {
    await miniature.down();
    miniature.unmount();
  }
}

const tooLateFor = (cell: Cell) => (error: unknown) => {
  if (!(error instanceof BackspinError)) throw error;
  if (error.type !== 'NotFound') throw new BackspinError(error.type, `${nameOf(cell)}: ${error.message}`);
  return undefined;
};

/** Waits for a moment, and gives the key of its step; undefined where the step is over already. */
async function come(miniature: Miniature, { step, reached, phase }: Spot, before: View): Promise<string | undefined> {
  const stepKey = before.steps.find(({ path }) => path === step)!.stepKey!;
  let here = false;
  const seen = async () => (here = await reached(miniature, stepKey)) || miniature.committed(stepKey);
  await miniature.until(seen, COMES_WITHIN, `${step} comes to ${phase}`);
  return here ? stepKey : undefined;
}

const outcomes: Readonly<Record<Poison, { readonly status: number; readonly dropped: string }>> = {
  '400 poison': { status: 400, dropped: 'rejected' },
  '500 for one record': { status: 500, dropped: 'failed' },
};
/** One record of each step that asked is poison, and nothing else is missing. */
const unpoisoned = ({ steps }: View, reason: string): string[] =>
  steps
    .filter(({ requests }) => requests)
    .filter(({ dropped }) => dropped[reason] !== 1)
    .map(({ path, dropped }) => `${path} dropped ${JSON.stringify(dropped)}, where one record was refused`);

function brokenIn(miniature: Miniature, view: View, tried: readonly Tried[], again: number): string[] {
  const broken: string[] = [];
  const check = (holds: boolean, sentence: string) => void (holds || broken.push(sentence));
  for (const { path, kind, in: of, kept, dropped } of view.steps)
    if (kind === 'map') check(of === kept! + total(Object.values(dropped)), `${path}: in is not kept + dropped`);
  for (const name of miniature.doubles()) check(false, `journaled twice: ${name}`);
  const asked = miniature.asked();
  check(
    total(asked.map(({ counted }) => counted)) === total(view.steps.map(({ requests }) => requests ?? 0)),
    'requests were answered that no step counts, or not answered that one counts',
  );
  for (const { answered, counted } of asked)
    check(answered === counted, `${answered} requests were answered of a step that counts ${counted}`);
  check(again <= IN_FLIGHT * tried.length + spoilt(miniature.home), `${again} requests were answered again, more than were in flight`);
  check(miniature.empty, 'processes are left over');
  return broken;
}
const total = (numbers: readonly number[]) => numbers.reduce((sum, number) => sum + number, 0);
