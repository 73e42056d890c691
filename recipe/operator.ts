/** Operators: work on one record, with requests to models. */
import type { Labels, Tagged } from './training.ts';
import type { Dataset, Message, Params } from './types.ts';

/** The part of a zod schema that definitions need. */
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
/** Keeps one record or several. */
export function keep<T>(...records: readonly [T, ...T[]]): Kept<T> {
  return { kept: records };
}
/**
 * Drops the record.
 *
 * @param reason a short kebab-case word, which backspin counts; begin it with `no-` if a reply could not be read
 * @param evidence what a person wants to see beside the reason, such as the reply
 */
export function drop(reason: string, evidence?: string): Dropped {
  return evidence === undefined ? { dropped: reason } : { dropped: reason, evidence };
}

/** How a model samples its reply, in the terms of OpenAI-compatible servers. */
export interface Sampling {
  /** 0 decodes greedily. */
  readonly temperature: number;
  readonly topP?: number;
  readonly topK?: number;
  /** Lowest probability of a token, as a share of the likeliest token's. */
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  /** Taken from the logit of each token that the reply has already, once or for each time. */
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  /** Tokens of the reply. */
  readonly maxTokens: number;
  /** Texts that end the reply. */
  readonly stop?: readonly string[];
  /** Variables of the chat template, such as `enable_thinking: false`; sent as `chat_template_kwargs`. */
  readonly chatTemplateKwargs?: Readonly<Record<string, unknown>>;
  /** The reply is one of these texts. A server without structured outputs does not get this, nor `schema`. */
  readonly choice?: readonly string[];
  /** The reply is a JSON text of this JSON Schema. true: the operator puts its own in the place. */
  readonly schema?: true | Readonly<Record<string, unknown>>;
  /** More fields of the request, sent as they are. */
  readonly extra?: Readonly<Record<string, unknown>>;
}
export interface Reply {
  readonly text: string;
  /** Reasoning that the server returns apart from the reply (`reasoning_content`). Evidence for a person, never data. */
  readonly reasoning?: string;
  /** `length`: the reply was cut off. */
  readonly finish: 'stop' | 'length';
}
export type Prompt =
  | { readonly messages: readonly Message[]; /** Opens the assistant's turn with this text. */ readonly prefill?: string }
  | { readonly text: string }
  | { readonly tokens: readonly number[] };
/** Log-probability (nats) of one token of a continuation, and the entropy (nats) of the distribution that it came from; null if it was not
 *  computed, since no server returns it. */
export interface TokenScore {
  readonly id: number;
  readonly logprob: number;
  readonly entropy: number | null;
  /** The same token after the second prompt, if there is one. With p for the first prompt's distribution and q for the second's, `kl` is
   *  KL(q || p) and `reverseKl` is KL(p || q), in nats. */
  readonly second?: { readonly logprob: number; readonly entropy: number; readonly kl: number; readonly reverseKl: number };
}
/** A continuation, token by token. */
export interface Scored {
  readonly tokens: readonly TokenScore[];
  /** Hash of tokenizer, chat template, text and token ids, if the request had `includeEos`. A training refuses token weights with another hash. */
  readonly hash: string | null;
}
/** A request of a scorer: how likely `continuation` is after `prompt`. */
export interface ScoreRequest {
  readonly prompt: Prompt;
  readonly continuation: string;
  /** The continuation is a whole turn, tokenized as in training, with its EOS token. Only after messages, and only with `batch: true`. */
  readonly includeEos?: true;
  /** A second prompt, whose distributions are compared with those of the first. Only with `batch: true`. */
  readonly secondPrompt?: Prompt;
}

/** What an operator can use besides its models. */
export interface RecordContext {
  /** Renders a registered prompt, such as `humpback.curation`. Throws for a name that is not among the operator's parameters. */
  prompt(name: string, slots: unknown): Prompt;
  /** A stream of numbers in [0, 1), seeded by (seed, step, record, name). Throws unless the operator is `stochastic`. */
  random(name: string): () => number;
  /** Aborts when work on the record must stop, for a pause or a cancellation. */
  readonly signal: AbortSignal;
}
/** The journal stores each call under its record, its request and the number of equal earlier requests. So a half-done record gets the
 *  replies that it had, and its calls may run concurrently. */
export interface Context<Roles extends string> extends RecordContext {
  /** Sends messages, which the server renders with the model's chat template. */
  chat(role: Roles, messages: readonly Message[], sampling: Sampling): Promise<Reply>;
  /** Completes a rendered prompt: messages (with an optional opening of the reply), raw text, or token ids. */
  complete(role: Roles, prompt: Prompt, sampling: Sampling): Promise<Reply>;
  /** Log-probabilities (nats) of the tokens of each of `continuations` after `prompt`. The server reads the prompt once if they differ in
   *  their last token alone, as ratings do. */
  score(role: Roles, prompt: Prompt, continuations: readonly string[]): Promise<readonly (readonly TokenScore[])[]>;
  /** Calls `body` until it returns a value, at most `limit` times, each time with fresh samples; then returns undefined. A map's budget
   *  counts every call. */
  attempts<T>(limit: number, body: (attempt: number) => Promise<T | undefined>): Promise<T | undefined>;
}
/** Parameters as the operator sees them: a dataset among the parameters comes as its records (at most one shard). */
export type Loaded<P> = { readonly [K in keyof P]: Exclude<P[K], undefined> extends Dataset<infer T> ? readonly T[] : P[K] };
export type Capability = 'chat' | 'complete' | 'prefill' | 'score';

export interface Operator<in In, out Out, Roles extends string, in P extends Params> {
  readonly is: 'operator';
  readonly version: number;
  readonly input: Schema<unknown>;
  readonly output: Schema<Out>;
  readonly params: Schema<unknown> | undefined;
  readonly roles: readonly Roles[];
  readonly capabilities: readonly Capability[];
  readonly structured: boolean;
  readonly scorer: ScorerSpec<In, P> | undefined;
  readonly labeler: LabelerSpec<In, P> | undefined;
  /** Whether the result depends on the seed (and so on the round). */
  stochastic(params: P): boolean;
  /** The author declared it. Otherwise it follows from the temperature, and `random` throws. */
  readonly declaresStochastic: boolean;
  calls(params: P): number;
  maxRows(params: P): number;
  run(record: In, context: Context<Roles>, params: Loaded<P>): Outcome<Out> | Promise<Outcome<Out>>;
}

/** The part of a scorer that other operators lack. */
export interface ScorerSpec<in In, in P extends Params> {
  /** It needs what servers do not return: EOS tokens, entropies, divergences. */
  readonly batch: boolean;
  ask(record: In, context: RecordContext, params: Loaded<P>): readonly ScoreRequest[];
  take(record: In, answers: readonly Scored[], params: Loaded<P>): Outcome<unknown>;
}

/** The part of a labeler that other operators lack. */
export interface LabelerSpec<in In, in P extends Params> {
  take(record: In, labels: Labels, params: Loaded<P>): Outcome<unknown>;
}

/** Sampling is stochastic unless its temperature is 0. */
const samples = (capabilities: readonly Capability[]) => (params: object) =>
  capabilities.some((need) => need !== 'score') && (params as { sampling?: Sampling }).sampling?.temperature !== 0;

/**
 * Work on one record: any number of requests, loops and rules. By convention the parameter `sampling` has the sampling, and `prompt` and
 * `prompts` have names of registered prompts, whose versions are part of the step's key.
 *
 * @example
 * export const answer = operator({
 *   version: 1,
 *   input: z.object({ question: z.string() }),
 *   output: z.object({ question: z.string(), answer: z.string() }),
 *   params: z.object({ sampling }),
 *   roles: ['model'],
 *   capabilities: ['chat'],
 *   async run(record, { chat }, { sampling }) {
 *     const reply = await chat('model', [{ role: 'user', content: record.question }], sampling);
 *     return reply.finish === 'length' ? drop('truncated', reply.text) : keep({ ...record, answer: reply.text });
 *   },
 * });
 */
export function operator<In, Out, const Roles extends readonly string[] = readonly [], P extends Params = {}>(spec: {
  /** Raise it when a change gives other results: it is part of the step's key. */
  readonly version: number;
  readonly input: Schema<In>;
  readonly output: Schema<Out>;
  readonly params?: Schema<P>;
  /** Names under which `run` addresses models.
   *  @default [] */
  readonly roles?: Roles;
  /** What it needs of a server; the capability check of a step tries each.
   *  @default [] */
  readonly capabilities?: readonly Capability[];
  /** It reads replies by a schema of its own, and sends it where its sampling has `schema: true`.
   *  @default false */
  readonly structured?: boolean;
  /** Whether the result depends on the seed. Declare it if `run` uses `random`, which throws otherwise.
   *  @default true if it samples from a model at a temperature other than 0 */
  readonly stochastic?: (params: P) => boolean;
  /** The maximum of requests for one record; Infinity if it depends on the record. `plan` counts with it, and a record that exceeds it is
   *  dropped as `error`.
   *  @default 1 with roles, else 0 */
  readonly calls?: (params: P) => number;
  /** The maximum of records kept from one; used like `calls`.
   *  @default 1 */
  readonly maxRows?: (params: P) => number;
  run(record: In, context: Context<Roles[number]>, params: Loaded<P>): Outcome<NoInfer<Out>> | Promise<Outcome<NoInfer<Out>>>;
}): Operator<In, Out, Roles[number], P> {
  const capabilities = spec.capabilities ?? [];
  const declaresStochastic = spec.stochastic !== undefined;
  const defaults = { stochastic: samples(capabilities), calls: () => (spec.roles?.length ? 1 : 0), maxRows: () => 1 };
  return {
    is: 'operator',
    scorer: undefined,
    labeler: undefined,
    structured: false,
    ...defaults,
    ...spec,
    declaresStochastic,
    params: spec.params,
    roles: spec.roles ?? [],
    capabilities,
  };
}

/** An operator of forward passes only, whose requests are all known before the first answer. With many records, a subprocess on the training
 *  pool computes them as one batch, instead of requests to a server. */
export function scorer<In, Out, const Role extends string, P extends Params = {}>(spec: {
  readonly version: number;
  readonly input: Schema<In>;
  readonly output: Schema<Out>;
  readonly params?: Schema<P>;
  readonly role: Role;
  /** Set it if the scorer needs what servers do not return: `includeEos`, `secondPrompt` or entropies. Its map is then always a batch: a step of its own,
   *  with a model in the store.
   *  @default false */
  readonly batch?: true;
  /** Declare it if `ask` uses `random`.
   *  @default false */
  readonly stochastic?: (params: P) => boolean;
  /** The maximum of prompts for one record.
   *  @default 1 */
  readonly calls?: (params: P) => number;
  /** The requests for a record. */
  ask(record: In, context: RecordContext, params: Loaded<P>): readonly ScoreRequest[];
  /** The outcome for a record; `answers` are in the order of its requests. */
  take(record: In, answers: readonly Scored[], params: Loaded<P>): Outcome<NoInfer<Out>>;
}): Operator<In, Out, Role, P> {
  const { role, batch = false, ask, take, ...rest } = spec;
  const asking = operator<In, Out, readonly [Role], P>({
    ...rest,
    roles: [role],
    capabilities: ['score'],
    async run(record, context, params) {
      const asked = ask(record, context, params);
      const answers = new Map<ScoreRequest, Scored>();
      const ofOnePrompt = Map.groupBy(asked, ({ prompt }) => JSON.stringify(prompt));
      const scored = [...ofOnePrompt.values()].map(async (some) => {
        const continuations = some.map(({ continuation }) => continuation);
        const scores = await context.score(role, some[0]!.prompt, continuations);
        some.forEach((one, at) => answers.set(one, { tokens: scores[at]!, hash: null }));
      });
      await Promise.all(scored);
      return take(
        record,
        asked.map((one) => answers.get(one)!),
        params,
      );
    },
  });
  return { ...asking, scorer: { batch, ask, take } };
}

/** An operator that a tagger answers, in the role `tagger`: it labels the tokens of each record. A subprocess on the training pool computes
 *  the labels, so its map is a step of its own. A record that is too long for the tagger is dropped as `too-long`. */
export function labeler<In extends Pick<Tagged, 'tokens'>, Out, P extends Params = {}>(spec: {
  readonly version: number;
  readonly input: Schema<In>;
  readonly output: Schema<Out>;
  readonly params?: Schema<P>;
  /** The outcome for a record and the labels of its tokens. */
  take(record: In, labels: Labels, params: Loaded<P>): Outcome<NoInfer<Out>>;
}): Operator<In, Out, 'tagger', P> {
  const { take, ...rest } = spec;
  const asking = operator<In, Out, readonly ['tagger'], P>({ ...rest, roles: ['tagger'], calls: () => 0, run: unlabelled });
  return { ...asking, labeler: { take } };
}
function unlabelled(): never {
  throw new Error('no server answers for a tagger');
}
