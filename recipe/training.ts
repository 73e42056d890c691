/** What `Run.train` takes: rows, objectives and settings. Types only. */
import type { Dataset, MaybePromise, Message, Model } from './types.ts';

declare const of: unique symbol;

/** Renders a record as one training row. Its id is in the manifest of every model trained with it. */
export interface Template<in T, out Row> {
  readonly id: string;
  readonly [of]?: (record: T) => Row;
}

/** A conversation. The loss is on the last assistant turn only. */
export interface Chat {
  readonly messages: readonly Message[];
  /** Scales the loss of the row.
   *  @default 1 */
  readonly weight?: number;
  /** Rows of one group share a batch.
   *  @default none */
  readonly group?: string;
}
/** Two answers to one prompt, for DPO (2305.18290). */
export interface Preference {
  readonly prompt: readonly Message[];
  readonly chosen: string;
  readonly rejected: string;
  /** Scales the loss of the pair.
   *  @default 1 */
  readonly weight?: number;
}
/** Token ids of the response and one weight per id, at the token's own position. With `text` (which the ids encode) and `hash` (of the
 *  tokenizer and chat template that made them), a training with another tokenizer or chat template refuses the row. */
export interface Weighted {
  readonly ids: readonly number[];
  readonly weights: readonly number[];
  readonly text?: string;
  readonly hash?: string;
}
/** A preference with a weight for each token, for `token-dpo` (MuSC, 2502.11541). */
export interface WeightedPreference {
  readonly prompt: readonly Message[];
  readonly chosen: Weighted;
  readonly rejected: Weighted;
  /** Scales the loss of the pair.
   *  @default 1 */
  readonly weight?: number;
}
/** A completion of a prompt that is desirable (`label: true`) or not, for `kto` (2402.01306). */
export interface Completion {
  readonly prompt: readonly Message[];
  readonly completion: string;
  readonly label: boolean;
  /** Scales the loss of the row.
   *  @default 1 */
  readonly weight?: number;
}
/** The labels of a sentence: a BIO tag for each token (`B-city`, `I-city`, `O`), and one intent. */
export interface Labels {
  readonly tags: readonly string[];
  readonly intent: string;
}
/** A sentence, word by word, with its labels: a row that trains a tagger. A row with an `I-` that continues no slot of its type is refused. */
export interface Tagged extends Labels {
  readonly tokens: readonly string[];
}

/** Each objective: the kind of model that it starts from, the kind that it yields, and its training row. */
export interface Objectives {
  sft: { from: 'lm'; to: 'lm'; row: Chat };
  dpo: { from: 'lm'; to: 'lm'; row: Preference };
  'token-dpo': { from: 'lm'; to: 'lm'; row: WeightedPreference };
  kto: { from: 'lm'; to: 'lm'; row: Completion };
  lm: { from: 'lm'; to: 'lm'; row: { readonly text: string } | Pick<Chat, 'messages'> };
  tagger: { from: 'encoder'; to: 'tagger'; row: Tagged };
}
export type Objective = keyof Objectives;

/** Settings of a training, from the config. A recipe spreads them into `train`. A number that depends on the size of the data is a table
 *  by rows: of `stepsByRows` the entry nearest in ratio counts, of `byRows` the last that begins at or below. The result records which. */
export interface Settings<O extends Objective = 'sft'> {
  readonly objective: O;
  /** After the warm-up, and at the last step; a plain number decays to 0 after the last step. */
  readonly learningRate: number | { readonly from: number; readonly to: number };
  /** Passes over the rows, or optimizer steps. */
  readonly length:
    | { readonly epochs: number }
    | { readonly steps: number }
    | { readonly stepsByRows: readonly (readonly [rows: number, steps: number])[] };
  /** Rows of an optimizer step, on all devices together. */
  readonly batch: number | { readonly byRows: readonly (readonly [rows: number, batch: number])[] };
  /** Tokens of a row. */
  readonly maxTokens: number;
  /** For a row of more tokens: drop and count it, cut the end of its answer, or fail the training.
   *  @default 'drop' */
  readonly tooLong?: 'drop' | 'truncate' | 'fail';
  /** A low-rank adapter, scaled by alpha / rank; null trains all weights, as for a tagger. */
  readonly lora: {
    readonly rank: number;
    readonly alpha: number;
    /** Names of the adapted linear layers, such as q_proj.
     *  @default all but the head */
    readonly targets?: readonly string[];
    /** Dropout on the adapter's inputs.
     *  @default 0 */
    readonly dropout?: number;
  } | null;
  /** If `from` is an adapter: train it further, or merge it with its base and start a new one. */
  readonly adapter: 'continue' | 'merge';
  /** How strongly a preference loss, or that of `kto`, holds the model to its reference.
   *  @default 0.1 */
  readonly beta?: number;
  /** Of a margin: that of DPO, or of IPO (2310.12036); without a reference model ORPO (2403.07691) or SimPO (2405.14734).
   *  @default 'sigmoid' */
  readonly loss?: 'sigmoid' | 'ipo' | 'orpo' | 'simpo';
  /** Target margin of SimPO.
   *  @default 0.5 */
  readonly gamma?: number;
  /** Adds as many times the SFT loss of the chosen answers to a preference loss. ORPO has it once anyway.
   *  @default none */
  readonly sft?: number;
  /** From the first learning rate to the last.
   *  @default 'linear' */
  readonly schedule?: 'linear' | 'cosine';
  /** Share of the steps.
   *  @default 0 */
  readonly warmup?: number;
  /** @default 0 */
  readonly weightDecay?: number;
  /** @default [0.9, 0.999] */
  readonly betas?: readonly [number, number];
  /** Norm to which gradients are clipped; null: they are not.
   *  @default 1 */
  readonly clip?: number | null;
  /** @default 0 */
  readonly dropout?: number;
  /** Rows that are not trained on, and whose loss is measured.
   *  @default none */
  readonly evaluate?: {
    /** Of the rows, 0 to 1. Rows with the same prompt are on the same side, in every training. */
    readonly share: number;
    /** Steps between two measurements. The last step is always measured.
     *  @default a tenth of the steps */
    readonly every?: number;
    /** The training ends after as many measurements without a lower loss, and gives the model of the lowest one.
     *  @default none: it runs to its last step */
    readonly patience?: number;
  };
  /** @default the experiment's */
  readonly seed?: number;
  /** `muon` is for small models of which all weights are trained: it needs fewer steps. `adamw-8bit` keeps its state in 8 bits.
   *  @default 'adamw' */
  readonly optimizer?: 'adamw' | 'adamw-8bit' | 'muon';
  /** Of the frozen base of an adapter, while it is trained (QLoRA, 2305.14314).
   *  @default 'none' */
  readonly quantization?: 'none' | 'nf4';
  /** @default 'sdpa' */
  readonly attention?: 'sdpa' | 'flash-attention-2' | 'flash-attention-3';
  /** Computes the rows of a micro-batch as one sequence without padding, in which rows do not see each other.
   *  @default false */
  readonly packing?: boolean;
  /** Kernels of Liger for norms, rotations and MLPs.
   *  @default false */
  readonly liger?: boolean;
}

/** What `train` takes. A template is required unless the records are training rows already. */
export type Training<O extends Objective, T> = Settings<O> & {
  readonly from: MaybePromise<Model<Objectives[O]['from']>>;
  readonly data: MaybePromise<Dataset<T>>;
  /** Reference of a preference loss, and of `kto`.
   *  @default `from` */
  readonly reference?: MaybePromise<Model>;
  /** Number of an independent run of the same training, with a seed of its own.
   *  @default 0 */
  readonly repeat?: number;
} & ([T] extends [Objectives[O]['row']]
    ? { readonly template?: Template<T, Objectives[O]['row']> }
    : { readonly template: Template<NoInfer<T>, Objectives[O]['row']> });
