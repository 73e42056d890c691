/** The protocol of `backspin_trainer`: spec files, answer files and events. Its exit codes are in `devices/exits.ts`. */
import { z } from 'zod';
import { architecture } from './config.ts';

/** The spec of `backspin_trainer train`. `warmup` is a share of the steps; `batch` is the global batch size in rows, over all devices. */
export const trainSpec = z.strictObject({
  version: z.literal(1),
  objective: z.enum(['sft', 'lm', 'dpo', 'token-dpo', 'kto', 'tagger']),
  /** Exactly one of `from` (the folder of a full model, or of a LoRA adapter for `base`) and `init` is set. */
  from: z.string().nullable(),
  base: z.string().nullable(),
  init: z.strictObject({ architecture, tokenizer: z.string(), seed: z.int() }).nullable(),
  /** Null trains all weights. `targets` null means every linear layer except the LM head. */
  lora: z
    .strictObject({ rank: z.int().min(1), alpha: z.number(), targets: z.array(z.string()).nullable(), dropout: z.number() })
    .nullable(),
  /** For an adapter in `from`: train it further, or merge it into its base first. The merged model is `base` in the run folder. */
  adapter: z.enum(['continue', 'merge']),
  data: z.string(),
  /** The number of rows of `data` that `steps` was computed for; null: all. If the trainer keeps another number, it writes the refused rows
   *  to `refused.jsonl` in the run folder (`line`, `reason`, `evidence`) and exits with 65. */
  rows: z.int().min(1).nullable(),
  /** Folder of events, checkpoints and the trained model. */
  run: z.string(),
  seed: z.int(),
  steps: z.int().min(1),
  batch: z.int().min(1),
  /** The most rows that a device computes at once; null: its share of the batch. */
  microBatch: z.int().min(1).nullable(),
  /** fsdp2: the devices divide weights, gradients and optimizer state among themselves. */
  shard: z.enum(['none', 'fsdp2']),
  maxTokens: z.int().min(2),
  /** Whether to refuse a row of more than `maxTokens`, or to cut the end of its answer. */
  tooLong: z.enum(['drop', 'truncate', 'fail']),
  /** After the warm-up, and at the last step; null: it is 0 after the last step. */
  learningRate: z.strictObject({ from: z.number(), to: z.number().nullable() }),
  schedule: z.enum(['linear', 'cosine']),
  warmup: z.number().min(0).max(1),
  weightDecay: z.number().min(0),
  betas: z.tuple([z.number(), z.number()]),
  clip: z.number().nullable(),
  dropout: z.number().min(0).max(1),
  optimizer: z.enum(['adamw', 'adamw-8bit', 'muon']),
  quantization: z.enum(['none', 'nf4']),
  attention: z.enum(['sdpa', 'flash-attention-2', 'flash-attention-3']),
  packing: z.boolean(),
  liger: z.boolean(),
  /** Asks for algorithms that give the same bits again on CUDA devices. */
  deterministic: z.boolean(),
  /** Only for preference objectives and `kto`: the strength of the KL penalty against the reference model. */
  beta: z.number().positive().nullable(),
  /** For preference objectives. */
  loss: z.enum(['sigmoid', 'ipo', 'orpo', 'simpo']),
  /** Target margin of the loss simpo, else null. */
  gamma: z.number().min(0).nullable(),
  /** Share of the SFT loss of chosen answers. */
  sft: z.number().min(0),
  /** Only for preference objectives with a loss that compares, and for `kto`; null: the model of `from`. */
  reference: z.strictObject({ folder: z.string(), base: z.string().nullable() }).nullable(),
  /** Measures the loss of the rows with `"heldOut": true`, which are not trained on, every `every` steps and after the last one. After
   *  `patience` measurements without a lower loss the run ends with the model of the lowest; null: it runs to its last step. */
  evaluate: z.strictObject({ every: z.int().min(1), patience: z.int().min(1).nullable() }).nullable(),
  /** Steps between two checkpoints. Another one is written once the last is `checkpointSeconds` old. */
  checkpointEvery: z.int().min(1),
  checkpointSeconds: z.number().positive(),
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
/** A line of `answers.jsonl` of `embed`: the k-means cluster of a row's first text, 1 - cosine of its first text and its second, and its
 *  number among the picks of farthest-first traversal (null: not picked). */
export const embeddedRow = z.object({ cluster: z.int().min(0), distance: z.number().min(0), pick: z.int().min(0).nullable() });
export type EmbeddedRow = Readonly<z.infer<typeof embeddedRow>>;

/** The spec of `backspin_trainer hub`. Without `files` it looks a repository up: `revision` is a branch, a tag or a commit, and files that
 *  match the regular expression `small` are downloaded. With `files` it downloads these. */
export interface HubSpec {
  readonly version: 1;
  readonly kind: 'model' | 'dataset';
  readonly repository: string;
  readonly revision: string;
  readonly small: string;
  readonly files: readonly string[] | null;
}

/** The spec of `backspin_trainer push`: uploads the files of a folder to a repository as one commit. Makes the repository if there is none. */
export interface PushSpec {
  readonly version: 1;
  readonly kind: 'model' | 'dataset';
  readonly repository: string;
  readonly folder: string;
  readonly private: boolean;
  /** Of the commit. */
  readonly message: string;
}

/** The spec of `backspin_trainer gguf`: writes the model in `file` as a Hugging Face folder to the new folder `to`, or only its small files. */
export interface GgufSpec {
  readonly version: 1;
  readonly file: string;
  readonly to: string;
  readonly weights: boolean;
}

/** What an experiment does with a model. */
export type ModelUse =
  | ({ readonly verb: 'train' } & Pick<
      TrainSpec,
      'objective' | 'maxTokens' | 'dropout' | 'lora' | 'optimizer' | 'quantization' | 'attention' | 'packing' | 'liger'
    >)
  | { readonly verb: 'serve' | 'score' | 'embed' };
/** The spec of `backspin_trainer check`: it writes to `to` a JSON list with the sentence for which it would refuse each use, or null. Either
 *  `folder` or `init` is set; `weights` are the safetensors files in `folder`. */
export interface CheckSpec {
  readonly version: 1;
  readonly uses: readonly ModelUse[];
  readonly to: string;
  readonly folder?: string;
  readonly init?: NonNullable<TrainSpec['init']>;
  readonly weights?: readonly string[];
  readonly chatTemplate?: string | null;
  readonly endToken?: string | null;
}

/** The spec of `backspin_trainer score`: `rows` is a file of `{"requests": [...]}` lines, each request a `ScoreRequest`. */
export interface ScoreSpec {
  readonly version: 1;
  readonly model: { readonly folder: string; readonly base: string | null };
  readonly rows: string;
  /** Folder of events, parts and `answers.jsonl`. */
  readonly run: string;
  readonly threads: number;
}
const each = z.array(z.number());
/** An answer: lists with a number (nats) for each token of a continuation, or the reason why there is none. `second` has those under the
 *  second prompt. */
export const scoredText = z.union([
  z.strictObject({
    ids: z.array(z.int()),
    logprobs: each,
    entropies: each,
    second: z.strictObject({ logprobs: each, entropies: each, kl: each, reverseKl: each }).exactOptional(),
    hash: z.string().exactOptional(),
  }),
  z.strictObject({ tooLong: z.string() }),
  z.strictObject({ rejected: z.string() }),
]);
export type ScoredText = z.infer<typeof scoredText>;
/** A line of `answers.jsonl` of `score`. */
export const scoredRow = z.strictObject({ answers: z.array(scoredText) });

/** The spec of `backspin_trainer tag`: `rows` is a file of `{"tokens": [...]}` lines, each token a word. */
export interface TagSpec {
  readonly version: 1;
  /** Folder of the tagger. */
  readonly tagger: string;
  readonly rows: string;
  /** Folder of events, parts and `answers.jsonl`. */
  readonly run: string;
  readonly threads: number;
}
/** A line of `answers.jsonl` of `tag`: a tag for each token, and the intent; or why there are none. */
export const taggedRow = z.union([
  z.strictObject({ tags: z.array(z.string()), intent: z.string() }),
  z.strictObject({ tooLong: z.string() }),
]);
export type TaggedRow = z.infer<typeof taggedRow>;

/** The spec of a supervised subprocess. */
export type SubprocessSpec = TrainSpec | EmbedSpec | ScoreSpec | TagSpec;
export type SubprocessVerb = 'train' | 'embed' | 'score' | 'tag';
export const verbOf = (spec: SubprocessSpec): SubprocessVerb =>
  'objective' in spec ? 'train' : 'clusters' in spec ? 'embed' : 'tagger' in spec ? 'tag' : 'score';

/** The spec of `backspin_trainer merge`: folders of a LoRA adapter, of its base, and of the merged model to write. */
export interface MergeSpec {
  readonly version: 1;
  readonly adapter: string;
  readonly base: string;
  readonly to: string;
}

/** The spec of `backspin_trainer convert`: weights in PyTorch's pickle format, to write as safetensors to the new folder `to`. */
export interface ConvertSpec {
  readonly version: 1;
  readonly files: readonly string[];
  readonly to: string;
}

const of = <const Event extends string, Shape extends z.core.$ZodShape>(event: Event, shape: Shape) =>
  z.object({ v: z.literal(1), event: z.literal(event), ...shape });
const step = z.int().min(0);
const measure = z.number().exactOptional();
/** What a step measures. Means over the batch, in nats, by the names of TRL; `padding` is the share of padding in what was computed, `memory` the
 *  peak of one device in bytes since the start, `gradNorm` that before clipping (null: not finite). */
export const stepMeasures = {
  loss: z.number(),
  learningRate: z.number(),
  tokens: z.int(),
  seconds: z.number(),
  gradNorm: z.number().nullable().exactOptional(),
  padding: measure,
  memory: measure,
  rewardsChosen: measure,
  rewardsRejected: measure,
  rewardsMargins: measure,
  rewardsAccuracies: measure,
  logpsChosen: measure,
  logpsRejected: measure,
  /** Of `kto`: the divergence of the batch from the reference. */
  kl: measure,
};
/** What a training keeps of a step. */
export const curveMeasures = { ...stepMeasures, validationLoss: measure };

/** A line of `events.jsonl`. A resumed training emits the steps since its checkpoint again. The steps of `embed`, `score` and `tag` are rows. */
const trainEvent = z.discriminatedUnion('event', [
  of('start', {
    pid: z.int(),
    resumedFrom: step.nullable(),
    steps: step,
    truncated: z.int().min(0).default(0),
    microBatch: z.int().min(1).exactOptional(),
    /** Micro-batches of a step. */
    accumulation: z.int().min(1).default(1),
    /** Versions of trainer and libraries, devices and precision. */
    computing: z.record(z.string(), z.union([z.string(), z.number(), z.null()])).exactOptional(),
  }),
  /** Parts of the reference's log-probabilities that a preference training has computed before its first step. */
  of('reference', { done: z.int(), of: z.int() }),
  of('step', { step, ...stepMeasures }),
  /** The loss of the held-out rows after a step. */
  of('evaluation', { step, loss: z.number(), rows: z.int(), seconds: z.number() }),
  /** Micro-batches of held-out rows that are done. */
  of('evaluating', { done: z.int(), of: z.int() }),
  of('checkpoint', { step }),
  of('stopped', { step }),
  of('error', { message: z.string(), code: z.int() }),
  of('done', { step, loss: z.number().nullable() }),
]);
export type TrainEvent = z.infer<typeof trainEvent>;
export type StepEvent = Extract<TrainEvent, { event: 'step' }>;
/** A step with the loss of the held-out rows after it, if that was measured. */
export type Measured = StepEvent & { readonly validationLoss?: number };

/** Undefined for a line that a kill has torn, and for an event of a newer trainer. */
export function parseEvent(line: string): TrainEvent | undefined {
  try {
    return trainEvent.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
