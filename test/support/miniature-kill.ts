/** Kills of one part of the miniature with SIGKILL, one in each phase that has this part, and how long it took to go on. */
import { hit, type Recovery } from '../../cli/chaos/disturb.ts';
import type { PartName } from '../../cli/chaos/parts.ts';
import type { View } from '../../cli/view.ts';
import type { Miniature } from './miniature.ts';

const phases = {
  generate: { step: 'backtranslate', kind: 'map', done: 5 },
  judge: { step: 'r1/judge', kind: 'map', done: 5 },
  /** Between two checkpoints: these are at 3, 6 and 9. */
  train: { step: 'r1/forward', kind: 'train', done: 4 },
  /** As soon as its server answers. */
  evaluate: { step: 'r1/evaluate-forward', kind: 'evaluate', done: 0 },
} as const;
export type Phase = keyof typeof phases;
const all = Object.keys(phases) as Phase[];

/** What is killed, and in which phases. */
export const killed: Readonly<Record<PartName, readonly Phase[]>> = {
  'gpu worker': all,
  'data worker': all,
  orchestrator: all,
  'model server': ['generate', 'judge', 'evaluate'],
  trainer: ['train'],
  'Temporal server': all,
  up: all,
  'everything at once': all,
};

/** Milliseconds, of a machine with much else to do. */
const ENDS_WITHIN = 400_000;
const COMES_WITHIN = 200_000;

export interface Kill extends Recovery {
  readonly phase: Phase;
}

/** Runs a miniature to its end. */
export async function undisturbed(miniature: Miniature): Promise<void> {
  await miniature.up();
  await miniature.launch();
  await miniature.until(() => miniature.completed, ENDS_WITHIN, 'the experiment is completed');
}

/** Runs a miniature to its end, and kills the part in each of its phases. `reference` tells the keys of the steps. */
export async function disturbed(miniature: Miniature, part: PartName, reference: View): Promise<Kill[]> {
  await miniature.up();
  await miniature.launch();
  const kills: Kill[] = [];
  for (const phase of killed[part]) {
    const { step, kind, done } = phases[phase];
    const stepKey = reference.steps.find(({ path }) => path === step)!.stepKey!;
    const reached = () => (done === 0 ? miniature.server(stepKey) !== undefined : miniature.done(kind, stepKey) >= done);
    await miniature.until(() => miniature.committed(stepKey) || reached(), COMES_WITHIN, `${step} has come so far`);
    if (miniature.committed(stepKey)) throw new Error(`${step} was over before the ${part} could be killed`);
    kills.push({ phase, ...(await hit(miniature, part, 'SIGKILL', stepKey)) });
  }
  await miniature.until(() => miniature.completed, ENDS_WITHIN, 'the experiment is completed');
  return kills;
}
