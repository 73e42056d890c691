/**
 * The interface of definitions: operators (in `operator.ts`), reducers, templates, prompts, suites and sources. Definitions are pure; `steps/`
 * runs them.
 */
import type { Labels, Tagged } from './training.ts';
import type { Dataset, Metrics, ModelKind, Outputs, Params, Report, MaybePromise } from './types.ts';
import { keep, labeler, type Dropped, type Operator, type Prompt, type Rec, type Schema } from './operator.ts';
import type { HarnessRequests } from './harness.ts';
import type { EmbeddedRow } from '../schemas/trainer.ts';

export * from './operator.ts';

// ───────────────────────────────────────── reducers ─────────────────────────────────────────

/** A dataset as a reducer reads it: in record order, as often as it likes. */
export interface Rows<out T> extends AsyncIterable<Rec<T>> {
  readonly rows: number;
}
/** One output record, or one dropped input record. `output` names the output if the reducer has several. */
export type Emitted =
  | { readonly record: Rec<unknown>; readonly output?: string }
  | { readonly record: Rec<unknown>; readonly dropped: string; readonly evidence?: string };
/** The inputs as `run` sees them: each dataset as rows and each report as its numbers, however deep. */
export type Read<I> =
  I extends Promise<infer X>
    ? Read<X>
    : I extends Dataset<infer T>
      ? Rows<T>
      : I extends Report<infer M>
        ? M
        : I extends readonly (infer X)[]
          ? readonly Read<X>[]
          : I extends object
            ? { readonly [K in keyof I]: Read<I[K]> }
            : I;
/** Embeds the records of the input `of` with the model in the input `encoder`, in a subprocess on the training pool, before the reducer runs.
 *  Each record gets a cluster by its first text, and the distance (1 - cosine) of its second text from the first. `picks` records are
 *  selected by farthest-first traversal of the first texts. */
export interface Embedding<in P extends Params> {
  texts(value: Readonly<Record<string, unknown>>, params: P): readonly [first: string, second?: string];
  settings(params: P): { readonly clusters?: number; readonly picks?: number; readonly maxTokens: number };
}
export interface ReducerContext {
  /** A stream of numbers in [0, 1). Throws unless the reducer is `stochastic`. */
  random(name: string): () => number;
  /** A new record made of others: its id follows from its value and their ids. */
  derive(value: unknown, from: readonly Rec<unknown>[]): Rec<unknown>;
  /** For a reducer with `embeds`: cluster, distance and pick of each record of `of`, in order. */
  readonly places: AsyncIterable<EmbeddedRow>;
  readonly signal: AbortSignal;
}

export interface ReducerDef<in I, out T extends Outputs, in P extends Params> {
  readonly is: 'reducer';
  readonly version: number;
  readonly params: Schema<unknown> | undefined;
  stochastic(params: P): boolean;
  /** Its output records are not among its input records (drawn tasks, say), so backspin does not check that each is kept or dropped. */
  readonly skipsConservation: boolean;
  /** The maximum of output records for `entering` input records. `plan` counts with it. */
  maxRows(entering: number, params: P): number;
  readonly embeds: Embedding<P> | undefined;
  run(inputs: Read<I>, params: P, reading: ReducerContext): AsyncIterable<Emitted> | Promise<Metrics>;
  /** The names of the outputs; null for a single dataset, 'report' for numbers. */
  readonly outputs: readonly string[] | 'report' | null;
  readonly gives?: T;
}
/**
 * Work on whole datasets, on CPU; with `embeds` a subprocess on the training pool embeds first. `run` is an async generator of kept and
 * dropped records, or, with `outputs: 'report'`, returns a promise of numbers.
 *
 * @example
 * export const longest = reducer<{ of: Dataset<{ text: string }> }, Dataset<{ text: string }>>({
 *   version: 1,
 *   async *run({ of }) {
 *     for await (const record of of) yield record.value.text.length > 100 ? { record } : { record, dropped: 'short' };
 *   },
 * });
 */
export function reducer<I, T extends Outputs, P extends Params = {}>(spec: {
  readonly version: number;
  readonly params?: Schema<P>;
  /** Whether the result depends on the seed. Declare it if `run` uses `random`.
   *  @default false */
  readonly stochastic?: (params: P) => boolean;
  /** Set it if the output records are not among the input records.
   *  @default true for a report, else false */
  readonly skipsConservation?: boolean;
  /** The maximum of output records, for `plan`.
   *  @default as many as enter */
  readonly maxRows?: (entering: number, params: P) => number;
  /** Names of several output datasets, or 'report' for numbers.
   *  @default one dataset */
  readonly outputs?: readonly string[] | 'report';
  /** The texts that the model in the input `encoder` embeds.
   *  @default none */
  readonly embeds?: Embedding<P>;
  run(inputs: Read<I>, params: P, reading: ReducerContext): AsyncIterable<Emitted> | Promise<Metrics>;
}): ReducerDef<I, T, P> {
  return {
    is: 'reducer',
    stochastic: () => false,
    skipsConservation: spec.outputs === 'report',
    maxRows: (entering) => entering,
    ...spec,
    params: spec.params,
    embeds: spec.embeds,
    outputs: spec.outputs ?? null,
  };
}

/** A reducer that drops records and changes none. */
export type FilterDef<Least, P extends Params> = ReducerDef<{ readonly of: MaybePromise<Dataset<Least>> }, Dataset<Least>, P> & {
  readonly filters: true;
};
/** A reducer that keeps or drops each record of `of` unchanged, so a recipe gets its own record type back. `Least` has the fields that
 *  `run` reads. */
export const filter = <Least, P extends Params = {}>(
  spec: Omit<
    Parameters<typeof reducer<{ readonly of: MaybePromise<Dataset<Least>> }, Dataset<Least>, P>>[0],
    'skipsConservation' | 'outputs' | 'embeds'
  >,
): FilterDef<Least, P> => ({ ...reducer<{ readonly of: MaybePromise<Dataset<Least>> }, Dataset<Least>, P>(spec), filters: true });

// ───────────────────────────────────────── templates and prompts ─────────────────────────────────────────

export interface TemplateDef<in T, out Row> {
  readonly is: 'template';
  readonly version: number;
  /** Checks each record before `render`; undefined: no check. */
  readonly input: Schema<unknown> | undefined;
  render(record: T): Row;
}
/**
 * Renders a record as one training row. A row that `input` refuses, or that `render` throws on, is dropped as `invalid`.
 *
 * @example
 * export const toResponse = template({
 *   version: 1,
 *   render: ({ instruction, response }: { instruction: string; response: string }) => ({
 *     messages: [{ role: 'user', content: instruction }, { role: 'assistant', content: response }],
 *   }),
 * });
 */
export function template<T, Row>(spec: {
  readonly version: number;
  readonly input?: Schema<T>;
  render(record: T): Row;
}): TemplateDef<T, Row> {
  return { is: 'template', ...spec, input: spec.input };
}

export interface PromptDef<in T> {
  readonly is: 'prompt';
  readonly version: number;
  /** The name of the template that a model must have been trained with to receive this prompt.
   *  @default any */
  readonly template?: string;
  /** Slots as the operator fills them. `plan` checks the variables of a Jinja file in place of this prompt with them.
   *  @default such a file is only checked for its syntax and its turns */
  readonly example?: object;
  render(slots: T): Prompt;
}
/** The wording of a request, which the config names. */
export function prompt<T>(spec: {
  readonly version: number;
  readonly template?: string;
  readonly example?: NoInfer<T> & object;
  render(slots: T): Prompt;
}): PromptDef<T> {
  return { is: 'prompt', ...spec };
}

// ───────────────────────────────────────── suites and sources ─────────────────────────────────────────

export interface SuiteDef<K extends ModelKind, out M extends Metrics, Roles extends string, in P extends Params> {
  readonly is: 'suite';
  readonly version: number;
  /** Knows the truth: people may read its report, but `decide` and `gate` refuse it. */
  readonly oracle: boolean;
  readonly kind: ModelKind & K;
  readonly params: Schema<unknown> | undefined;
  /** It has no items of its own, and asks the records of the dataset that the experiment file names, or of its parameter `test`. */
  readonly asksData: boolean;
  items(params: P): readonly unknown[];
  readonly ask: Operator<never, unknown, Roles | 'model', never>;
  measure(answers: readonly { readonly item: unknown; readonly answer: unknown }[], params: P): M;
  /** The requests of the tasks of EleutherAI's harness with their `answers`: it makes numbers of them, beside those of `measure`. */
  harness?(answers: readonly { readonly item: unknown; readonly answer: unknown }[]): readonly object[];
  /** Measurements of one answer, which `show` prints beside it. */
  each?(answered: { readonly item: unknown; readonly answer: unknown }, params: P): object;
}
/** A benchmark of a model: items, an operator that answers them (its role `model` is the measured model), and the numbers. An item whose
 *  answer was dropped comes with `answer: undefined`, so that it counts. `show` prints each answer with the result of `each`. Without
 *  `items` it asks the records of a dataset, which the experiment file names, or the recipe in the parameter `test`: those that `ask`
 *  refuses come without an answer too. */
export function suite<Item, Answer, M extends Metrics, Roles extends string = never, P extends Params = {}>(spec: {
  readonly version: number;
  readonly oracle?: boolean;
  readonly params?: Schema<P>;
  /** @default the records of the evaluation's `data` */
  items?(params: P): readonly Item[];
  readonly ask: Operator<Item, Answer, Roles | 'model', P>;
  measure(answers: readonly { readonly item: Item; readonly answer: Answer | undefined }[], params: P): M;
  /** Lines for EleutherAI's harness, whose numbers join those of `measure`. */
  harness?(answers: readonly { readonly item: Item; readonly answer: Answer | undefined }[]): readonly object[];
  each?(answered: { readonly item: Item; readonly answer: Answer }, params: P): object;
}): SuiteDef<'lm', M, Roles, P> {
  return { is: 'suite', oracle: false, kind: 'lm', asksData: !spec.items, items: () => [], ...spec, params: spec.params } as never;
}

/** A benchmark of a tagger, which labels the tokens of the records of a dataset: the one in the parameter `test`, or the one that the
 *  experiment file names. A subprocess on the training pool computes the labels. A record that `input` refuses, or that is too long for the
 *  tagger, comes with `answer: undefined`. */
export function taggerSuite<Item extends Pick<Tagged, 'tokens'>, M extends Metrics, P extends Params = {}>(spec: {
  readonly version: number;
  readonly oracle?: boolean;
  /** Names `test` if recipes pass the dataset. */
  readonly params?: Schema<P>;
  readonly input: Schema<Item>;
  measure(answers: readonly { readonly item: Item; readonly answer: Labels | undefined }[], params: P): M;
  each?(answered: { readonly item: Item; readonly answer: Labels }, params: P): object;
}): SuiteDef<'tagger', M, never, P> {
  const { input, ...rest } = spec;
  const { version } = spec;
  const ask = { ...labeler<Item, Labels, P>({ version, input, output: labels, take: (_, found) => keep(found) }), roles: ['model'] };
  return { is: 'suite', oracle: false, kind: 'tagger', asksData: true, items: () => [], ...rest, ask, params: spec.params } as never;
}
const labels: Schema<Labels> = { parse: (value) => value as Labels }; // checked where they are read from the subprocess

export interface DataSuiteDef<in T, out M extends Metrics, in P extends Params> {
  readonly is: 'data-suite';
  readonly version: number;
  readonly oracle: boolean;
  readonly params: Schema<unknown> | undefined;
  measure(rows: Rows<T>, params: P): Promise<M>;
}
/** A benchmark of a dataset. */
export function dataSuite<T, M extends Metrics, P extends Params = {}>(spec: {
  readonly version: number;
  readonly oracle?: boolean;
  readonly params?: Schema<P>;
  measure(rows: Rows<T>, params: P): Promise<M>;
}): DataSuiteDef<T, M, P> {
  return { is: 'data-suite', oracle: false, ...spec, params: spec.params };
}

/** Data files of a dataset on the Hugging Face Hub. */
export interface HubDataset {
  readonly repository: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  readonly config?: string | undefined;
  readonly split: string;
  /** Globs of names in the repository, in place of `config` and `split`. */
  readonly files?: readonly string[] | undefined;
}

export interface SourceDef<out T, in P extends Params> {
  readonly is: 'source';
  readonly version: number;
  readonly output: Schema<T>;
  readonly params: Schema<unknown> | undefined;
  /** Files, folders and globs. The content of their files is part of the step's key. Relative paths start at the experiment file's folder. */
  files(params: P): readonly string[];
  /** A dataset on the Hub, whose files it reads in place of `files`; they are downloaded before. Its commit is part of the step's key. */
  hub?(params: P): HubDataset | undefined;
  /** Tasks of EleutherAI's harness, whose requests it reads, as one file of JSON Lines in place of `files`. */
  harness?(params: P): HarnessRequests;
  /** Names of the files that are taken from a folder, or from the Hub. Default: all but hidden ones. */
  readonly endings?: RegExp;
  /** Yields records, and invalid lines as dropped, with file and line in `evidence`. Call `place` before each to report where it comes from. */
  rows(params: P, files: readonly string[], place?: PlaceReporter): AsyncIterable<T | Dropped> | Iterable<T | Dropped>;
}
/** `file` is one of the source's files; `line` counts from 1. */
export type PlaceReporter = (file: string, line?: number) => void;
/** Where a dataset comes from: a file, or a generator. */
export function source<T, P extends Params = {}>(spec: {
  readonly version: number;
  readonly output: Schema<T>;
  readonly params?: Schema<P>;
  files?(params: P): readonly string[];
  hub?(params: P): HubDataset | undefined;
  harness?(params: P): HarnessRequests;
  readonly endings?: RegExp;
  rows(params: P, files: readonly string[], place?: PlaceReporter): AsyncIterable<T | Dropped> | Iterable<T | Dropped>;
}): SourceDef<T, P> {
  return { is: 'source', files: () => [], ...spec, params: spec.params };
}

export type Definition =
  | Operator<never, unknown, string, never>
  | ReducerDef<never, Outputs, never>
  | TemplateDef<never, unknown>
  | PromptDef<never>
  | SuiteDef<never, Metrics, string, never>
  | DataSuiteDef<never, Metrics, never>
  | SourceDef<unknown, never>;
