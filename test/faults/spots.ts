/** Named moments of the miniature: each is seen in its files, so that a fault comes when a phase is under way, and not after a while. */
import type { Miniature } from '../support/miniature.ts';

export const phases = [
  'open',
  'generate',
  'judge',
  'train',
  'checkpoint',
  'evaluate',
  'commit',
  'continue-as-new',
  'hand-over',
  'paused',
] as const;
export type Phase = (typeof phases)[number];

export interface Spot {
  readonly phase: Phase;
  /** Path of the step that is under way. */
  readonly step: string;
  readonly reached: (miniature: Miniature, stepKey: string) => boolean | Promise<boolean>;
}

const begun =
  (activity: string): Spot['reached'] =>
  (miniature) =>
    miniature.began(activity);
const open = (step: string): Spot => ({ phase: 'open', step, reached: begun(`open ${step}`) });
const commit = (step: string): Spot => ({ phase: 'commit', step, reached: begun(`commit ${step}`) });
const asked = (phase: Phase, step: string, done: number): Spot => ({
  phase,
  step,
  reached: async (miniature, stepKey) => ((await miniature.live('map', stepKey))?.done ?? 0) >= done,
});
/** Between two checkpoints: these are at 3, 6 and 9 of 10 steps. */
const train = (step: string): Spot => ({
  phase: 'train',
  step,
  reached: async (miniature, stepKey) => ((await miniature.live('train', stepKey))?.done ?? 0) >= 4,
});
/** While one is written, or has just been. */
const checkpoint = (step: string): Spot => ({
  phase: 'checkpoint',
  step,
  reached: (miniature, stepKey) => miniature.has(stepKey, 'run/checkpoints/step-*'),
});
/** As soon as its server answers. */
const evaluate = (step: string): Spot => ({
  phase: 'evaluate',
  step,
  reached: (miniature, stepKey) => miniature.server(stepKey) !== undefined,
});
/** The group was given from a server to a training, whose trainer has not begun. */
const handOver = (step: string): Spot => ({
  phase: 'hand-over',
  step,
  reached: (miniature, stepKey) => miniature.began(`train ${step}`) && !miniature.has(stepKey, 'run/events.jsonl'),
});

/** In order of time. */
export const spots: readonly Spot[] = [
  train('backward'),
  checkpoint('backward'),
  open('backtranslate'),
  asked('generate', 'backtranslate', 5),
  asked('paused', 'backtranslate', 15),
  asked('generate', 'backtranslate', 25),
  commit('backtranslate'),
  open('r1/judge'),
  asked('judge', 'r1/judge', 5),
  asked('paused', 'r1/judge', 15),
  asked('judge', 'r1/judge', 25),
  commit('r1/judge'),
  { phase: 'continue-as-new', step: 'r1/forward', reached: (miniature) => miniature.continued() },
  handOver('r1/forward'),
  train('r1/forward'),
  checkpoint('r1/forward'),
  evaluate('r1/evaluate-forward'),
  asked('judge', 'r2/judge', 5),
  commit('r2/judge'),
  handOver('r2/forward'),
  train('r2/forward'),
  checkpoint('r2/forward'),
  open('r2/evaluate-forward'),
  evaluate('r2/evaluate-forward'),
];
