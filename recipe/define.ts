/**
 * The other side of the interface: how operators, reducers, templates, prompts, suites and sources are written. Pure
 * definitions; what runs them is in `activities/`.
 */
import type { Dataset, Message, Metrics, ModelKind, Outputs, Params, Report } from './api.ts';
import type { Placed } from '../schemas/trainer.ts';

/** What zod's schemas are. */
export interface Schema<out T> {
  parse(value: unknown): T;
}

/** A record as it is stored. `id` is a hash of `value` and of the ids in `from`; never a position. */
export interface Rec<out T> {
  readonly id: string;
  readonly from: readonly string[];
  readonly value: T;
}

export type Kept<T> = { readonly kept: readonly T[] };
export type Dropped = { readonly dropped: string; readonly evidence?: string };
export type Outcome<T> = Kept<T> | Dropped;
export function keep<T>(...records: readonly [T, ...T[]]): Kept<T> {
  return { kept: records };
}
/** `reason` is a short kebab-case word that is counted; `evidence` is what a person wants to see beside it. */
export function drop(reason: string, evidence?: string): Dropped {
  return evidence === undefined ? { dropped: reason } : { dropped: reason, evidence };
}

// ───────────────────────────────────────── operators ─────────────────────────────────────────

export interface Sampling {
  readonly temperature: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly repetitionPenalty?: number;
  /** Tokens. */
  readonly maxTokens: number;
  readonly stop?: readonly string[];
}
export interface Reply {
  readonly text: string;
  readonly finish: 'stop' | 'length';
}
export type Prompt =
  | { readonly messages: readonly Message[]; /** Opens the assistant's turn with this text. */ readonly prefill?: string }
  | { readonly text: string }
  | { readonly tokens: readonly number[] };
/** Log-probability (nats) of one token of a continuation, and the entropy (nats) of what could have come in its place: no server gives it. */
export interface TokenScore {
  readonly id: number;
  readonly logprob: number;
  readonly entropy: number | null;
  /** After the other prompt, where there is one: p is the first prompt's distribution and q this one's, `kl` is KL(q || p) and
   *  `reverseKl` KL(p || q). */
  readonly beside?: { readonly logprob: number; readonly entropy: number; readonly kl: number; readonly reverseKl: number };
}
/** A continuation, token by token. */
export interface Scored {
  readonly tokens: readonly TokenScore[];
  /** Of tokenizer, chat template, text and ids, where its end was asked for: no training takes weights for it that were made with others. */
  readonly hash: string | null;
}
/** What a probe asks: how likely `continuation` is after `prompt`. */
export interface Asked {
  readonly prompt: Prompt;
  readonly continuation: string;
  /** It is a whole turn: its tokens are those that a training would learn, the end token among them. Messages only. */
  readonly ends?: true;
  /** Another prompt, whose distributions are compared with those of the first. */
  readonly beside?: Prompt;
}

/** What an operator has beside its models. */
export interface Aside {
  /** Renders a registered prompt by its name in the config. */
  prompt(name: string, slots: unknown): Prompt;
  /** A stream of numbers in [0, 1), seeded by (seed, step, record, name). */
  random(name: string): () => number;
  readonly signal: AbortSignal;
}
/** Each call is journaled under (record, ordinal): a record half done resumes at its next call. */
export interface Context<Roles extends string> extends Aside {
  chat(role: Roles, messages: readonly Message[], sampling: Sampling): Promise<Reply>;
  complete(role: Roles, prompt: Prompt, sampling: Sampling): Promise<Reply>;
  /** Log-probabilities of the tokens of `continuation` after `prompt`. */
  score(role: Roles, prompt: Prompt, continuation: string): Promise<readonly TokenScore[]>;
  /** A fresh sample until `body` answers, counted against the method's budget; undefined when it is spent. */
  attempts<T>(limit: number, body: (attempt: number) => Promise<T | undefined>): Promise<T | undefined>;
}
/** Parameters as the operator sees them: a dataset given as parameter is loaded beside it (at most one shard). */
export type Loaded<P> = { readonly [K in keyof P]: Exclude<P[K], undefined> extends Dataset<infer T> ? readonly T[] : P[K] };
export type Need = 'chat' | 'complete' | 'prefill' | 'score';

export interface Operator<in In, out Out, Roles extends string, in P extends Params> {
  readonly is: 'operator';
  readonly version: number;
  readonly input: Schema<unknown>;
  readonly output: Schema<Out>;
  readonly params: Schema<unknown> | undefined;
  readonly roles: readonly Roles[];
  readonly needs: readonly Need[];
  readonly probe: Probing<In, P> | undefined;
  /** Whether the result depends on the seed (and so on the round). */
  draws(params: P): boolean;
  run(record: In, context: Context<Roles>, params: Loaded<P>): Outcome<Out> | Promise<Outcome<Out>>;
}

/** Of an operator of forward passes only. */
export interface Probing<in In, in P extends Params> {
  /** It asks for what servers do not give: ends, entropies, divergences. */
  readonly batch: boolean;
  ask(record: In, context: Aside, params: Loaded<P>): readonly Asked[];
  take(record: In, answers: readonly Scored[], params: Loaded<P>): Outcome<unknown>;
}

/** Sampling is a draw unless its temperature is 0. */
const samples = (needs: readonly Need[]) => (params: object) =>
  needs.some((need) => need !== 'score') && (params as { sampling?: Sampling }).sampling?.temperature !== 0;

/** Free form: any number of calls, loops and rules on one record. By convention a parameter `sampling` holds the sampling
 *  and parameters `prompt` and `prompts` hold names of registered prompts; their versions are part of the step's key. */
export function operator<In, Out, const Roles extends readonly string[] = readonly [], P extends Params = {}>(spec: {
  readonly version: number;
  readonly input: Schema<In>;
  readonly output: Schema<Out>;
  readonly params?: Schema<P>;
  readonly roles?: Roles;
  readonly needs?: readonly Need[];
  /** Default: it talks to a model at a temperature other than 0. */
  readonly draws?: (params: P) => boolean;
  run(record: In, context: Context<Roles[number]>, params: Loaded<P>): Outcome<NoInfer<Out>> | Promise<Outcome<NoInfer<Out>>>;
}): Operator<In, Out, Roles[number], P> {
  const needs = spec.needs ?? [];
  return { is: 'operator', draws: samples(needs), probe: undefined, ...spec, params: spec.params, roles: spec.roles ?? [], needs };
}

/** Forward passes only, known before the first answer: they may be one batch, by a child on a pool, instead of requests to a server. */
export function probe<In, Out, const Role extends string, P extends Params = {}>(spec: {
  readonly version: number;
  readonly input: Schema<In>;
  readonly output: Schema<Out>;
  readonly params?: Schema<P>;
  readonly role: Role;
  /** It asks for what servers do not give, so it is always a batch: a step of its own, of a model of one's own. */
  readonly batch?: true;
  ask(record: In, context: Aside, params: Loaded<P>): readonly Asked[];
  take(record: In, answers: readonly Scored[], params: Loaded<P>): Outcome<NoInfer<Out>>;
}): Operator<In, Out, Role, P> {
  const { role, batch = false, ask, take, ...rest } = spec;
  const asking = operator<In, Out, readonly [Role], P>({
    ...rest,
    roles: [role],
    needs: ['score'],
    async run(record, context, params) {
      const asked = ask(record, context, params);
      const answers = [];
      for (const { prompt, continuation } of asked) answers.push({ tokens: await context.score(role, prompt, continuation), hash: null });
      return take(record, answers, params);
    },
  });
  return { ...asking, probe: { batch, ask, take } };
}

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
 *  has its texts embedded, is placed in one of so many clusters by the first, and is told how far the second lies from it. */
export interface Embedding<in P extends Params> {
  texts(value: Readonly<Record<string, unknown>>, params: P): readonly [first: string, second?: string];
  settings(params: P): { readonly clusters: number; readonly maxTokens: number };
}
export interface Reading {
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
  draws(params: P): boolean;
  /** Records that enter are not the ones that leave (tasks drawn, numbers measured): conservation is not checked. */
  readonly creates: boolean;
  /** Records that leave at most, when so many enter: what a plan goes by. */
  most(entering: number, params: P): number;
  readonly embeds: Embedding<P> | undefined;
  run(inputs: Read<I>, params: P, reading: Reading): AsyncIterable<Emitted> | Promise<Metrics>;
  /** The names of the outputs; null for a single dataset, 'report' for numbers. */
  readonly outputs: readonly string[] | 'report' | null;
  readonly gives?: T;
}
/** Whole-dataset work on CPU, or with an `encoder` as a child on a pool: an async generator of records kept and dropped, or a promise of numbers. */
export function reducer<I, T extends Outputs, P extends Params = {}>(spec: {
  readonly version: number;
  readonly params?: Schema<P>;
  readonly draws?: (params: P) => boolean;
  readonly creates?: boolean;
  /** Default: as many as enter. */
  readonly most?: (entering: number, params: P) => number;
  readonly outputs?: readonly string[] | 'report';
  readonly embeds?: Embedding<P>;
  run(inputs: Read<I>, params: P, reading: Reading): AsyncIterable<Emitted> | Promise<Metrics>;
}): ReducerDef<I, T, P> {
  return {
    is: 'reducer',
    draws: () => false,
    creates: spec.outputs === 'report',
    most: (entering) => entering,
    ...spec,
    params: spec.params,
    embeds: spec.embeds,
    outputs: spec.outputs ?? null,
  };
}

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
}
/** A benchmark of a model: items, what to ask (role `model` is the one measured), and the numbers. An item whose answer was
 *  dropped comes with `answer: undefined`, so that it counts. */
export function suite<Item, Answer, M extends Metrics, Roles extends string = never, P extends Params = {}>(spec: {
  readonly version: number;
  readonly oracle?: boolean;
  readonly kind?: ModelKind;
  readonly params?: Schema<P>;
  items(params: P): readonly Item[];
  readonly ask: Operator<Item, Answer, Roles | 'model', P>;
  measure(answers: readonly { readonly item: Item; readonly answer: Answer | undefined }[], params: P): M;
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
  /** Records, and lines that do not fit with file and line in `evidence`. */
  rows(params: P, files: readonly string[]): AsyncIterable<T | Dropped> | Iterable<T | Dropped>;
}
/** Where a dataset comes from: a file, or a generator. */
export function source<T, P extends Params = {}>(spec: {
  readonly version: number;
  readonly output: Schema<T>;
  readonly params?: Schema<P>;
  files?(params: P): readonly string[];
  rows(params: P, files: readonly string[]): AsyncIterable<T | Dropped> | Iterable<T | Dropped>;
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
