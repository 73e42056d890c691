/** The trainer's protocol: the spec it is given, the events it appends, the codes it ends with. */
import { z } from 'zod';
import { architecture } from './config.ts';

/** The spec of `backspin_trainer train`. Lengths in tokens, rates per step, `warmup` a share of the steps. */
export const trainSpec = z.strictObject({
  version: z.literal(1),
  objective: z.enum(['sft', 'lm', 'dpo', 'token-dpo']),
  /** Exactly one of `from` (a folder of whole weights, or of an adapter upon `base`) and `init` is set. */
  from: z.string().nullable(),
  base: z.string().nullable(),
  init: z.strictObject({ architecture, tokenizer: z.string(), seed: z.int() }).nullable(),
  /** `targets` null: every linear layer but the head. Without `lora` all weights are trained. */
  lora: z
    .strictObject({ rank: z.int().min(1), alpha: z.number(), targets: z.array(z.string()).nullable(), dropout: z.number() })
    .nullable(),
  /** Of an adapter in `from`: it is trained on, or merged first; what it was merged into is then `base` in the run folder. */
  adapter: z.enum(['continue', 'merge']),
  data: z.string(),
  /** Those of `data` that `steps` and `batch` were reckoned for; null: all. Where others are left once the trainer has refused what it must, it writes
   *  those to `refused.jsonl` in the run folder (`line`, `reason`, `evidence`) and ends with 65. */
  rows: z.int().min(1).nullable(),
  /** Folder of events, checkpoints and the model that comes out. */
  run: z.string(),
  seed: z.int(),
  steps: z.int().min(1),
  batch: z.int().min(1),
  maxTokens: z.int().min(2),
  /** A row of more tokens is cut, or refused. */
  tooLong: z.enum(['drop', 'truncate', 'fail']),
  learningRate: z.strictObject({ from: z.number(), to: z.number() }),
  schedule: z.enum(['linear', 'cosine']),
  warmup: z.number().min(0).max(1),
  weightDecay: z.number().min(0),
  betas: z.tuple([z.number(), z.number()]),
  clip: z.number().nullable(),
  dropout: z.number().min(0).max(1),
  optimizer: z.enum(['adamw', 'muon']),
  /** Of a preference objective alone: how strongly it holds to its reference, which by default is what the run begins with. */
  beta: z.number().positive().nullable(),
  reference: z.strictObject({ folder: z.string(), base: z.string().nullable() }).nullable(),
  checkpointEvery: z.int().min(1),
  keepCheckpoints: z.int().min(1),
  threads: z.int().min(1),
});
export type TrainSpec = z.infer<typeof trainSpec>;

/** The spec of `backspin_trainer embed`: `rows` is a file of `{"texts": [...]}` lines. `batch` counts texts, `maxTokens` is per text. */
export interface EmbedSpec {
  readonly version: 1;
  readonly model: { readonly folder: string; readonly base: string | null };
  readonly rows: string;
  /** Folder of events, vectors and `answers.jsonl`. */
  readonly run: string;
  readonly clusters: number;
  /** Rows to select by farthest-first traversal; null: none. */
  readonly picks: number | null;
  readonly seed: number;
  readonly maxTokens: number;
  readonly threads: number;
}
/** A line of `answers.jsonl`: 1 - cosine of a row's first text and its second, the cluster of its first, and which pick it is by
 *  farthest-first traversal; null: it is not picked. */
export const placed = z.object({ cluster: z.int().min(0), distance: z.number().min(0), pick: z.int().min(0).nullable() });
export type Placed = Readonly<z.infer<typeof placed>>;

/** The spec of `backspin_trainer score`: `rows` is a file of `{"asked": [...]}` lines, each an `Asked` of `recipe/define.ts`. */
export interface ScoreSpec {
  readonly version: 1;
  readonly model: { readonly folder: string; readonly base: string | null };
  readonly rows: string;
  /** Folder of events, parts and `answers.jsonl`. */
  readonly run: string;
  readonly threads: number;
}
const each = z.array(z.number());
/** An answer: a number for each token of a continuation, or why there is none. */
export const scoredText = z.union([
  z.strictObject({
    ids: z.array(z.int()),
    logprobs: each,
    entropies: each,
    beside: z.strictObject({ logprobs: each, entropies: each, kl: each, reverseKl: each }).exactOptional(),
    hash: z.string().exactOptional(),
  }),
  z.strictObject({ tooLong: z.string() }),
  z.strictObject({ rejected: z.string() }),
]);
export type ScoredText = z.infer<typeof scoredText>;
/** A line of `answers.jsonl`. */
export const scoredRow = z.strictObject({ answers: z.array(scoredText) });

/** The spec of a child that is supervised: what it trains, embeds or scores. */
export type ChildSpec = TrainSpec | EmbedSpec | ScoreSpec;
export const verbOf = (spec: ChildSpec): 'train' | 'embed' | 'score' =>
  'objective' in spec ? 'train' : 'clusters' in spec ? 'embed' : 'score';

/** The spec of `backspin_trainer merge`: folders of an adapter, of its base, and of the whole weights that they make. */
export interface MergeSpec {
  readonly version: 1;
  readonly adapter: string;
  readonly base: string;
  readonly to: string;
}

const of = <const Event extends string, Shape extends z.core.$ZodShape>(event: Event, shape: Shape) =>
  z.object({ v: z.literal(1), event: z.literal(event), ...shape });
const step = z.int().min(0);

/** A line of `events.jsonl`. A resumed training says the steps since its checkpoint a second time. The steps of `embed` and `score` are rows. */
const trainEvent = z.discriminatedUnion('event', [
  of('start', { pid: z.int(), resumedFrom: step.nullable(), steps: step, truncated: z.int().min(0).default(0) }),
  of('step', { step, loss: z.number(), learningRate: z.number(), tokens: z.int(), seconds: z.number() }),
  of('checkpoint', { step }),
  of('stopped', { step }),
  of('error', { message: z.string(), code: z.int() }),
  of('done', { step, loss: z.number().nullable() }),
]);
export type TrainEvent = z.infer<typeof trainEvent>;

/** Undefined for a line that a kill has torn, and for what a newer trainer says. */
export function eventOf(line: string): TrainEvent | undefined {
  try {
    return trainEvent.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
