/**
 * The other side of the interface: how operators (in `operator.ts`), reducers, templates, prompts, suites and sources are written. Pure
 * definitions; what runs them is in `steps/`.
 */
import type { Dataset, Metrics, ModelKind, Outputs, Params, Report, MaybePromise } from './types.ts';
import type { Dropped, Operator, Prompt, Rec, Schema } from './operator.ts';
import type { Placed } from '../schemas/trainer.ts';

export * from './operator.ts';

// ───────────────────────────────────────── reducers ─────────────────────────────────────────

/** A dataset as a reducer reads it: in record order, as often as it likes. */
export interface Rows<out T> extends AsyncIterable<Rec<T>> {
  readonly rows: number;
}
/** One output record, or one input record that goes no further. `output` names it where a reducer has several. */
export type Emitted =
  | { readonly record: Rec<unknown>; readonly output?: string }
  | { readonly record: Rec<unknown>; readonly dropped: string; readonly evidence?: string };
/** Datasets are read as rows and reports as their numbers, wherever they stand. */
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
/** Whole-dataset work with the model in the input `encoder`, by a child on a pool, before a reducer runs: each record of the input `of`
 *  has its texts embedded, is placed in one of so many clusters by the first, and is told how far the second lies from it; so
 *  many of them are picked by farthest-first traversal of the first. */
export interface Embedding<in P extends Params> {
  texts(value: Readonly<Record<string, unknown>>, params: P): readonly [first: string, second?: string];
  settings(params: P): { readonly clusters?: number; readonly picks?: number; readonly maxTokens: number };
}
export interface ReducerContext {
  /** A stream of numbers in [0, 1). Throws where the reducer says that it draws nothing. */
  random(name: string): () => number;
  /** A new record made of others: its id follows from its value and theirs. */
  derive(value: unknown, from: readonly Rec<unknown>[]): Rec<unknown>;
  /** Of a reducer that embeds: for each record of `of`, in order, where it lies. */
  readonly places: AsyncIterable<Placed>;
  readonly signal: AbortSignal;
}

export interface ReducerDef<in I, out T extends Outputs, in P extends Params> {
  readonly is: 'reducer';
  readonly version: number;
  readonly params: Schema<unknown> | undefined;
  stochastic(params: P): boolean;
  /** Records that enter are not the ones that leave (tasks drawn, numbers measured): conservation is not checked. */
  readonly skipsConservation: boolean;
  /** Records that leave at most, when so many enter: what a plan goes by. */
  maxRows(entering: number, params: P): number;
  readonly embeds: Embedding<P> | undefined;
  run(inputs: Read<I>, params: P, reading: ReducerContext): AsyncIterable<Emitted> | Promise<Metrics>;
  /** The names of the outputs; null for a single dataset, 'report' for numbers. */
  readonly outputs: readonly string[] | 'report' | null;
  readonly gives?: T;
}
/** Whole-dataset work on CPU, or with an `encoder` as a child on a pool: an async generator of records kept and dropped, or a promise of numbers. */
export function reducer<I, T extends Outputs, P extends Params = {}>(spec: {
  readonly version: number;
  readonly params?: Schema<P>;
  /** Whether the result depends on the seed: to be said where `random` is used. Default: no. */
  readonly stochastic?: (params: P) => boolean;
  readonly skipsConservation?: boolean;
  /** Default: as many as enter. */
  readonly maxRows?: (entering: number, params: P) => number;
  readonly outputs?: readonly string[] | 'report';
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
/** Whole-dataset work that keeps or drops each record of `of` as it is. A recipe gets back the type of record that it gives: `Least` is what
 *  `run` reads of it. */
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
  /** What a record must be to be rendered; undefined: whatever comes. */
  readonly input: Schema<unknown> | undefined;
  render(record: T): Row;
}
/** Renders a record as one training row. */
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
  /** The template that a model must have been trained with to be asked this; absent: any. */
  readonly template?: string;
  render(slots: T): Prompt;
}
/** Wording of a request, by name in the config. */
export function prompt<T>(spec: { readonly version: number; readonly template?: string; render(slots: T): Prompt }): PromptDef<T> {
  return { is: 'prompt', ...spec };
}

// ───────────────────────────────────────── suites and sources ─────────────────────────────────────────

export interface SuiteDef<K extends ModelKind, out M extends Metrics, Roles extends string, in P extends Params> {
  readonly is: 'suite';
  readonly version: number;
  /** Knows the truth: its report may be shown, never decided upon. */
  readonly oracle: boolean;
  readonly kind: ModelKind & K;
  readonly params: Schema<unknown> | undefined;
  items(params: P): readonly unknown[];
  readonly ask: Operator<never, unknown, Roles | 'model', never>;
  measure(answers: readonly { readonly item: unknown; readonly answer: unknown }[], params: P): M;
  /** What is measured of one answer, to be read beside it. */
  each?(answered: { readonly item: unknown; readonly answer: unknown }, params: P): object;
}
/** A benchmark of a model: items, what to ask (role `model` is the one measured), and the numbers. An item whose answer was
 *  dropped comes with `answer: undefined`, so that it counts. `show` prints the answers, each with what `each` measures of it. */
export function suite<Item, Answer, M extends Metrics, Roles extends string = never, P extends Params = {}>(spec: {
  readonly version: number;
  readonly oracle?: boolean;
  readonly kind?: ModelKind;
  readonly params?: Schema<P>;
  items(params: P): readonly Item[];
  readonly ask: Operator<Item, Answer, Roles | 'model', P>;
  measure(answers: readonly { readonly item: Item; readonly answer: Answer | undefined }[], params: P): M;
  each?(answered: { readonly item: Item; readonly answer: Answer }, params: P): object;
}): SuiteDef<'lm', M, Roles, P> {
  return { is: 'suite', oracle: false, kind: 'lm', ...spec, params: spec.params } as never;
}

export interface DataSuiteDef<in T, out M extends Metrics, in P extends Params> {
  readonly is: 'data-suite';
  readonly version: number;
  readonly oracle: boolean;
  readonly params: Schema<unknown> | undefined;
  measure(rows: Rows<T>, params: P): Promise<M>;
}
/** Numbers of a dataset. */
export function dataSuite<T, M extends Metrics, P extends Params = {}>(spec: {
  readonly version: number;
  readonly oracle?: boolean;
  readonly params?: Schema<P>;
  measure(rows: Rows<T>, params: P): Promise<M>;
}): DataSuiteDef<T, M, P> {
  return { is: 'data-suite', oracle: false, ...spec, params: spec.params };
}

export interface SourceDef<out T, in P extends Params> {
  readonly is: 'source';
  readonly version: number;
  readonly output: Schema<T>;
  readonly params: Schema<unknown> | undefined;
  /** Files (resolved against the experiment file's folder) whose content is part of the step's key. */
  files(params: P): readonly string[];
  /** Records, and lines that do not fit with file and line in `evidence`. Before each, `place` may be told where it comes from. */
  rows(params: P, files: readonly string[], place?: PlaceReporter): AsyncIterable<T | Dropped> | Iterable<T | Dropped>;
}
/** `file` is one of those that the source was given, `line` counts from 1. */
export type PlaceReporter = (file: string, line?: number) => void;
/** Where a dataset comes from: a file, or a generator. */
export function source<T, P extends Params = {}>(spec: {
  readonly version: number;
  readonly output: Schema<T>;
  readonly params?: Schema<P>;
  files?(params: P): readonly string[];
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
