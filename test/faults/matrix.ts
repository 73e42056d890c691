/** Which part is hit in which phase by which fault, and how that is parted into runs of the miniature. */
import type { PartName } from '../../cli/chaos/parts.ts';
import type { Signal } from '../../cli/chaos/disturb.ts';
import { stream } from '../../steps/model-calls.ts';
import type { Setting } from '../support/miniature.ts';
import { troubles, type Trouble } from '../support/trouble.ts';
import { spots, type Phase, type Spot } from './spots.ts';

export type Fault =
  | Signal
  | Trouble
  | Poison
  | 'refuses to start'
  | 'disk full'
  | 'half-written file'
  | 'empty files'
  | 'second host'
  | 'files change'
  | 'upgrade';
/** What takes root to try. */
export const takesRoot = ({ fault }: Pick<Cell, 'fault'>): boolean => fault === 'disk full' || fault === 'second host';
/** One record of each step is refused for good. */
export type Poison = '400 poison' | '500 for one record';
export const poisonOf = ({ fault }: Pick<Cell, 'fault'>): Poison | undefined =>
  fault === '400 poison' || fault === '500 for one record' ? fault : undefined;
export interface Cell {
  readonly part: PartName | 'disk of the store';
  readonly phase: Phase;
  readonly fault: Fault;
}
export const nameOf = ({ part, phase, fault }: Cell): string => `${part}: ${fault} (${phase})`;

const all = (part: Cell['part'], fault: Fault, ...phases: Phase[]): Cell[] => phases.map((phase) => ({ part, phase, fault }));

export const matrix: readonly Cell[] = [
  ...all('data worker', 'SIGKILL', 'open', 'generate', 'judge', 'train', 'evaluate', 'commit', 'paused'),
  ...all('data worker', 'SIGTERM', 'open', 'commit'),
  ...all('data worker', 'SIGSTOP', 'commit'),
  ...all('data worker', 'files change', 'generate', 'judge', 'train'),
  ...all('gpu worker', 'SIGKILL', 'open', 'generate', 'judge', 'train', 'checkpoint', 'evaluate', 'commit', 'hand-over', 'paused'),
  ...all('gpu worker', 'SIGTERM', 'generate', 'train', 'hand-over'),
  ...all('gpu worker', 'SIGSTOP', 'judge', 'train'),
  ...all('orchestrator', 'SIGKILL', 'open', 'generate', 'judge', 'train', 'evaluate', 'commit', 'continue-as-new', 'hand-over', 'paused'),
  ...all('orchestrator', 'SIGTERM', 'judge', 'continue-as-new'),
  ...all('orchestrator', 'SIGSTOP', 'generate'),
  ...all('orchestrator', 'files change', 'generate', 'judge', 'train'),
  ...all('model server', 'SIGKILL', 'generate', 'judge', 'evaluate', 'commit'),
  ...all('model server', 'SIGTERM', 'generate', 'evaluate'),
  ...all('model server', 'SIGSTOP', 'judge'),
  ...all('model server', 'connection refused', 'generate', 'judge'),
  ...all('model server', 'connection reset', 'generate', 'evaluate'),
  ...all('model server', 'black hole', 'generate', 'judge'),
  ...all('model server', 'slow body', 'generate', 'judge'),
  ...all('model server', '429', 'generate', 'evaluate'),
  ...all('model server', '429 with Retry-After', 'generate', 'judge'),
  ...all('model server', '500', 'judge', 'evaluate'),
  ...all('model server', 'malformed JSON', 'generate', 'judge'),
  ...all('model server', 'truncated body', 'generate', 'evaluate'),
  ...all('model server', 'refuses to start', 'generate', 'judge', 'evaluate'),
  ...all('model server', '400 poison', 'generate', 'judge', 'evaluate'),
  ...all('model server', '500 for one record', 'generate', 'judge', 'evaluate'),
  ...all('trainer', 'SIGKILL', 'train', 'checkpoint'),
  ...all('trainer', 'SIGTERM', 'train', 'checkpoint'),
  ...all('trainer', 'SIGSTOP', 'train'),
  ...all(
    'Temporal server',
    'SIGKILL',
    'open',
    'generate',
    'judge',
    'train',
    'evaluate',
    'commit',
    'continue-as-new',
    'hand-over',
    'paused',
  ),
  ...all('Temporal server', 'SIGTERM', 'judge'),
  ...all('Temporal server', 'SIGSTOP', 'generate'),
  ...all('up', 'SIGKILL', 'judge'),
  ...all('up', 'SIGTERM', 'generate', 'train'),
  ...all('up', 'upgrade', 'generate', 'judge', 'train'),
  ...all('everything at once', 'SIGKILL', 'open', 'generate', 'judge', 'train', 'checkpoint', 'evaluate', 'commit'),
  ...all('everything at once', 'SIGKILL', 'continue-as-new', 'hand-over', 'paused'),
  ...all('disk of the store', 'disk full', 'open', 'generate', 'judge', 'train', 'commit'),
  ...all('disk of the store', 'half-written file', 'generate', 'train', 'commit'),
  ...all('disk of the store', 'empty files', 'generate', 'train', 'commit'),
  ...all('up', 'second host', 'generate', 'train'),
];

const isTrouble = (fault: Fault): fault is Trouble => (troubles as readonly string[]).includes(fault);

/** What cells ask of the sandbox that they are tried in. */
export function settingFor(cells: readonly Cell[]): Setting {
  const any = (wanted: (cell: Cell) => boolean) => cells.some(wanted);
  return {
    ...(any(({ phase }) => phase === 'hand-over') && { groups: 1 }),
    ...(any(({ phase }) => phase === 'continue-as-new') && { history: HISTORY }),
    ...(any((cell) => isTrouble(cell.fault) || poisonOf(cell) !== undefined || cell.fault === 'refuses to start') && { network: true }),
    ...(any(({ fault }) => fault === 'files change' || fault === 'upgrade') && { own: true }),
    ...(any(({ fault }) => fault === 'disk full') && { disk: DISK }),
  };
}
/** Events after which the root continues as new: those of the first round's judging, about. */
const HISTORY = 120;
/** Megabytes: a miniature and a half. */
const DISK = 256;

/** A cell and the moment that it is tried at. */
export interface Trial {
  readonly cell: Cell;
  readonly spot: Spot;
}
/** In order of time. */
export type Run = readonly Trial[];

/** Cells tried in one run: more would leave little of it undisturbed. */
const AT_ONCE = 6;

/** Parts cells into few runs, none with two at one moment. */
export function runsOf(cells: readonly Cell[]): Run[] {
  const runs: Trial[][] = [];
  for (const cell of cells) {
    const run = runs.find((one) => spotIn(one, cell)) ?? runs[runs.push([]) - 1]!;
    run.push({ cell, spot: spotIn(run, cell)! });
  }
  const time = ({ spot }: Trial) => spots.indexOf(spot);
  return runs.map((run) => run.toSorted((a, b) => time(a) - time(b)));
}

/** A moment of the cell's phase that is free in a run. */
function spotIn(run: readonly Trial[], cell: Cell): Spot | undefined {
  // What a poisoned record leaves out is compared with another run.
  if (run.length === AT_ONCE || run.some((trial) => poisonOf(trial.cell) !== poisonOf(cell))) return undefined;
  if (run.some((trial) => trial.cell.fault === 'upgrade' || cell.fault === 'upgrade')) return undefined; // each is the first one
  // Whose files have changed can say no `retry-step` before the next `up`.
  if (['files change', 'refuses to start'].every((fault) => [...run.map((trial) => trial.cell), cell].some((one) => one.fault === fault)))
    return undefined;
  const taken = run.map(({ spot }) => spot);
  return spots.find((spot) => spot.phase === cell.phase && !taken.some((other) => other === spot || tooNear(other, spot)));
}
/** The second judging and the first evaluation run beside each other: what holds one up lets the other go by. A training is as good as
 *  over while the first fault of it is got over. */
const tooNear = (a: Spot, b: Spot): boolean =>
  a.step === b.step
    ? [a, b].every(({ phase }) => ['train', 'checkpoint'].includes(phase))
    : [a, b].every(({ step }) => ['r1/evaluate-forward', 'r2/judge'].includes(step));

/** A twentieth of the matrix, as a seed draws it: one of the runs that all of it is parted into, so that no two cells meet which never did. */
export function drawn(seed: string): readonly Cell[] {
  const runs = runsOf(matrix);
  return runs[Math.floor(stream(seed)() * runs.length)]!.map(({ cell }) => cell);
}
