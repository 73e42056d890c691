/** Operators: what happens to one record, with the models that it talks to. */
import type { Dataset, Message, Params } from './types.ts';

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

export interface Sampling {
  readonly temperature: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly repetitionPenalty?: number;
  /** Tokens. */
  readonly maxTokens: number;
  readonly stop?: readonly string[];
  /** What the chat template takes beside the turns, such as `enable_thinking: false`; sent as `chat_template_kwargs`. */
  readonly chatTemplateKwargs?: Readonly<Record<string, unknown>>;
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
/** What a scorer asks: how likely `continuation` is after `prompt`. */
export interface ScoreRequest {
  readonly prompt: Prompt;
  readonly continuation: string;
  /** It is a whole turn: its tokens are those that a training would learn, the end token among them. Messages only. */
  readonly ends?: true;
  /** Another prompt, whose distributions are compared with those of the first. */
  readonly beside?: Prompt;
}

/** What an operator has beside its models. */
export interface RecordContext {
  /** Renders a registered prompt by its name in the config. Throws for a name that is not among the parameters. */
  prompt(name: string, slots: unknown): Prompt;
  /** A stream of numbers in [0, 1), seeded by (seed, step, record, name). Throws unless the operator is `stochastic`. */
  random(name: string): () => number;
  readonly signal: AbortSignal;
}
/** Each call is journaled under its record, what it asks and how many equal ones went before: a record half done gets the replies it had,
 *  and its calls may run concurrently. */
export interface Context<Roles extends string> extends RecordContext {
  chat(role: Roles, messages: readonly Message[], sampling: Sampling): Promise<Reply>;
  complete(role: Roles, prompt: Prompt, sampling: Sampling): Promise<Reply>;
  /** Log-probabilities of the tokens of each of `continuations` after `prompt`. Of those that differ in their last token alone, such as
   *  ratings, the prompt is read once. */
  score(role: Roles, prompt: Prompt, continuations: readonly string[]): Promise<readonly (readonly TokenScore[])[]>;
  /** A fresh sample until `body` answers, counted against the method's budget; undefined when it is spent. */
  attempts<T>(limit: number, body: (attempt: number) => Promise<T | undefined>): Promise<T | undefined>;
}
/** Parameters as the operator sees them: a dataset given as parameter is loaded beside it (at most one shard). */
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
  readonly scorer: ScorerSpec<In, P> | undefined;
  /** Whether the result depends on the seed (and so on the round). */
  stochastic(params: P): boolean;
  /** The author says so. Otherwise it follows from the temperature, and `random` throws. */
  readonly declaresStochastic: boolean;
  calls(params: P): number;
  maxRows(params: P): number;
  run(record: In, context: Context<Roles>, params: Loaded<P>): Outcome<Out> | Promise<Outcome<Out>>;
}

/** Of an operator of forward passes only. */
export interface ScorerSpec<in In, in P extends Params> {
  /** It asks for what servers do not give: ends, entropies, divergences. */
  readonly batch: boolean;
  ask(record: In, context: RecordContext, params: Loaded<P>): readonly ScoreRequest[];
  take(record: In, answers: readonly Scored[], params: Loaded<P>): Outcome<unknown>;
}

/** Sampling is a draw unless its temperature is 0. */
const samples = (capabilities: readonly Capability[]) => (params: object) =>
  capabilities.some((need) => need !== 'score') && (params as { sampling?: Sampling }).sampling?.temperature !== 0;

/** Free form: any number of calls, loops and rules on one record. By convention a parameter `sampling` holds the sampling
 *  and parameters `prompt` and `prompts` hold names of registered prompts; their versions are part of the step's key. */
export function operator<In, Out, const Roles extends readonly string[] = readonly [], P extends Params = {}>(spec: {
  readonly version: number;
  readonly input: Schema<In>;
  readonly output: Schema<Out>;
  readonly params?: Schema<P>;
  readonly roles?: Roles;
  readonly capabilities?: readonly Capability[];
  /** Whether the result depends on the seed. Default: it talks to a model at a temperature other than 0. To be said where `random` is used,
   *  which throws otherwise. */
  readonly stochastic?: (params: P) => boolean;
  /** Calls to models for one record, at most; Infinity: it hangs on the record. A plan counts by it, and more of them drop the record as
   *  `error`. Default: 1, of an operator with roles. */
  readonly calls?: (params: P) => number;
  /** Records kept of one, at most; Infinity and more as for `calls`. Default: 1. */
  readonly maxRows?: (params: P) => number;
  run(record: In, context: Context<Roles[number]>, params: Loaded<P>): Outcome<NoInfer<Out>> | Promise<Outcome<NoInfer<Out>>>;
}): Operator<In, Out, Roles[number], P> {
  const capabilities = spec.capabilities ?? [];
  const declaresStochastic = spec.stochastic !== undefined;
  const defaults = { stochastic: samples(capabilities), calls: () => (spec.roles?.length ? 1 : 0), maxRows: () => 1 };
  return {
    is: 'operator',
    scorer: undefined,
    ...defaults,
    ...spec,
    declaresStochastic,
    params: spec.params,
    roles: spec.roles ?? [],
    capabilities,
  };
}

/** Forward passes only, known before the first answer: they may be one batch, by a child on a pool, instead of requests to a server. */
export function scorer<In, Out, const Role extends string, P extends Params = {}>(spec: {
  readonly version: number;
  readonly input: Schema<In>;
  readonly output: Schema<Out>;
  readonly params?: Schema<P>;
  readonly role: Role;
  /** It asks for what servers do not give, so it is always a batch: a step of its own, of a model of one's own. */
  readonly batch?: true;
  /** To be said where `random` is used. Default: it draws nothing. */
  readonly stochastic?: (params: P) => boolean;
  /** Prompts that it asks about one record, at most. Default: 1. */
  readonly calls?: (params: P) => number;
  ask(record: In, context: RecordContext, params: Loaded<P>): readonly ScoreRequest[];
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
