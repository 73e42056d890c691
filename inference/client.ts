/** Sends chats, completions and scoring requests to an OpenAI-compatible server. */
import { z } from 'zod';
import type { Message } from '../recipe/api.ts';
import type { Prompt, Reply, Sampling, TokenScore } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import { adviceOn, chosenText, learn, samplingFields, takes, type Dialect, type Learnt } from './fields.ts';
import type { Limiter } from './limiter.ts';
import { chatFields, contentOf, isChat, maxTokensOf, minimalPrompt, type TemplateKwargs } from './prompts.ts';
import { chatReply, parseReply, textReply, type FinishReason, type Usage } from './replies.ts';
import { scoreContinuations, type Post } from './scores.ts';
import { Rejected, Transport, type RequestOptions, type TransportOptions } from './transport.ts';

export { Rejected, Unavailable, Unusable, type Endpoint } from './transport.ts';

/** The prompt and `maxTokens` do not fit the model's context. The prompt is never cut: the record is dropped. */
export class TooLong extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TooLong';
  }
}

export interface ClientOptions extends Omit<TransportOptions, 'sockets'> {
  readonly limiter: Limiter;
  /** Counts requests. Default: nobody does. */
  readonly count?: Counting;
  /** Default: neither `choice` nor `schema`. */
  readonly dialect?: Dialect;
}
type Counting = <T extends { readonly tokens: number }>(requestId: string, send: () => Promise<T>) => Promise<T>;
export interface SeededRequestOptions extends RequestOptions {
  readonly seed: number;
}
/** `tokens`: prompt and completion tokens; `written`: the latter alone. */
export interface Answer<T> {
  readonly reply: T;
  readonly tokens: number;
  readonly written: number;
}

/** Tokens of a text of this many bytes, roughly. */
const tokensIn = (bytes: number): number => Math.ceil(bytes / 4);
/** Texts to continue. A tokenizer may merge the end of one with what follows. */
const BEGINNINGS = [':', 'a', '\n'];
const tokenizeReply = z.object({ tokens: z.array(z.int()), max_model_len: z.int() });
/** An adapter has the context of its base (`parent`). A server that does not tell its context lengths refuses prompts that are too long. */
const modelList = z.object({ data: z.array(z.object({ id: z.string(), parent: z.string().nullish(), max_model_len: z.int().nullish() })) });

export class ModelClient {
  readonly #transport: Transport;
  readonly #limiter: Limiter;
  readonly #count: Counting;
  readonly #dialect: Dialect;
  readonly #learnt: Learnt = { maxTokensField: 'max_tokens', seeds: true };
  /** Context length by served name. A name stands for the same weights for ever. */
  readonly #contextLengths = new Map<string, number>();
  /** Context lengths that are being requested: one request serves all callers. */
  readonly #pendingContextLengths = new Map<string, { readonly answer: Promise<number>; readonly signal: AbortSignal }>();
  /** Tokens of BEGINNINGS by model. */
  readonly #beginnings = new Map<string, readonly number[]>();
  readonly #lastContinuations = new Map<string, { readonly texts: readonly string[]; readonly tokens: readonly (readonly number[])[] }>();

  constructor({ limiter, count = (_, send) => send(), dialect = {}, ...transport }: ClientOptions) {
    this.#limiter = limiter;
    this.#count = count;
    this.#dialect = dialect;
    this.#transport = new Transport({ ...transport, sockets: limiter.limit });
  }

  /** Whether requests carry this setting of sampling. */
  takes(setting: keyof Sampling): boolean {
    return takes(setting, this.#dialect);
  }

  /** Requests the next turn. Throws TooLong, Rejected, and what `Transport.request` throws. */
  chat(model: string, messages: readonly Message[], sampling: Sampling, options: SeededRequestOptions): Promise<Answer<Reply>> {
    return this.complete(model, { messages }, sampling, options);
  }

  /** Continues the prompt. After messages with `prefill` it continues the turn that `prefill` opens. */
  complete(model: string, prompt: Prompt, sampling: Sampling, options: SeededRequestOptions): Promise<Answer<Reply>> {
    return this.#run(() => this.#complete(model, prompt, sampling, options), model, prompt, options);
  }

  /** Sends a small request of the same kind, or to the endpoint `path`. Returns whether the server answers it. */
  async alive(model: string, similarTo: Prompt | 'score', signal: AbortSignal, path?: string): Promise<boolean> {
    const options = { seed: 1, requestId: 'check/alive', signal };
    try {
      if (path === '/v1/models') return false;
      if (path === '/tokenize') await this.#tokenize({ model, prompt: 'A' }, options);
      else if (similarTo === 'score') await this.#score(model, { text: 'One, two,' }, [' three'], options);
      else await this.#complete(model, minimalPrompt(similarTo), { temperature: 0, maxTokens: 1 }, options);
      return true;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  async #complete(model: string, prompt: Prompt, sampling: Sampling, options: SeededRequestOptions): Promise<Answer<Reply>> {
    await this.#checkLength(model, prompt, sampling, options);
    const fields = { model, ...(isChat(prompt) ? chatFields(prompt, sampling.chatTemplateKwargs) : { prompt: contentOf(prompt) }) };
    if (isChat(prompt)) {
      const {
        choices: [{ message, finish_reason }],
        usage,
      } = await this.#sample('/v1/chat/completions', fields, sampling, chatReply, options);
      const reply = { text: chosenText(message.text, sampling, this.#dialect), finish: finish_reason };
      return this.#answerOf(prompt, { ...reply, ...(message.reasoning !== '' && { reasoning: message.reasoning }) }, usage);
    }
    const {
      choices: [{ text, finish_reason }],
      usage,
    } = await this.#sample('/v1/completions', fields, sampling, textReply, options);
    return this.#answerOf(prompt, { text: chosenText(text ?? '', sampling, this.#dialect), finish: finish_reason }, usage);
  }

  /** Sends the request again if its refusal shows a dialect of the server. */
  async #sample<T>(path: string, fields: object, sampling: Sampling, reply: z.ZodType<T>, options: SeededRequestOptions): Promise<T> {
    for (;;) {
      const { maxTokensField, seeds } = this.#learnt;
      try {
        return await this.#post(
          path,
          { ...fields, ...samplingFields(sampling, options.seed, this.#dialect, this.#learnt) },
          reply,
          options,
        );
      } catch (error) {
        if (!(error instanceof Rejected) || !this.#dialect.adapts) throw error;
        const isLearntMeanwhile = maxTokensField !== this.#learnt.maxTokensField || seeds !== this.#learnt.seeds;
        if (!isLearntMeanwhile && !learn(error.message, this.#learnt))
          throw new Rejected(error.status, error.message + adviceOn(error.message));
      }
    }
  }

  #answerOf(prompt: Prompt, reply: Omit<Reply, 'finish'> & { finish: FinishReason }, usage: Usage): Answer<Reply> {
    const { text, finish } = reply;
    if (finish === 'content_filter') throw new Rejected(200, 'the server withheld its reply (content_filter)');
    const written = usage?.completion_tokens ?? tokensIn(Buffer.byteLength(text));
    return { reply: { ...reply, finish }, tokens: written + (usage?.prompt_tokens ?? tokensIn(maxTokensOf(prompt))), written };
  }

  /**
   * Returns the log-probabilities of the tokens of each continuation after `prompt`. Tokenizes prompt and continuations separately, so no
   * token spans both. Sends one request if the continuations differ only in their last token and all last tokens are likely; otherwise one
   * more for each that is not.
   */
  score(
    model: string,
    prompt: Prompt,
    continuations: readonly string[],
    options: RequestOptions,
  ): Promise<Answer<readonly (readonly TokenScore[])[]>> {
    return this.#run(() => this.#score(model, prompt, continuations, options), model, 'score', options);
  }

  #run<T extends { readonly tokens: number }>(send: () => Promise<T>, model: string, similarTo: Prompt | 'score', options: RequestOptions) {
    const alive = () => this.alive(model, similarTo, options.signal);
    return this.#limiter.run(options.signal, () => this.#count(options.requestId, send), { ...options, alive });
  }

  async #score(
    model: string,
    prompt: Prompt,
    continuations: readonly string[],
    options: RequestOptions,
  ): Promise<Answer<readonly (readonly TokenScore[])[]>> {
    const [before, all] = await Promise.all([this.#tokens(model, prompt, options), this.#continuations(model, continuations, options)]);
    const context = await this.#contextLength(model, options);
    const tokens = before.length + Math.max(...all.map(({ length }) => length));
    if (tokens >= context) throw new TooLong(`prompt and continuation have ${tokens} tokens, the context ${context} for them and one more`);
    if (before.length === 0) throw new Rejected(400, 'the prompt has no tokens, so nothing predicts the first of the continuation');
    const post: Post = (body, reply) => this.#post('/v1/completions', { model, ...body }, reply, options);
    return { reply: await scoreContinuations(post, before, all), tokens, written: 0 };
  }

  /** Throws TooLong. A token has at least one byte, so short texts need no count. */
  async #checkLength(model: string, prompt: Prompt, { maxTokens, chatTemplateKwargs }: Sampling, options: RequestOptions): Promise<void> {
    const context = await this.#contextLength(model, options);
    if (maxTokensOf(prompt) + maxTokens <= context) return;
    const tokens = (await this.#tokens(model, prompt, options, chatTemplateKwargs)).length;
    if (tokens + maxTokens > context)
      throw new TooLong(`the prompt has ${tokens} tokens and the answer may have ${maxTokens}, the context ${context}`);
  }

  async #contextLength(model: string, options: RequestOptions): Promise<number> {
    for (;;) {
      const known = this.#contextLengths.get(model);
      if (known !== undefined) return known;
      const pending = this.#pendingContextLengths.get(model);
      if (!pending) break;
      await pending.answer.catch((error: unknown) => {
        options.signal.throwIfAborted();
        if (!pending.signal.aborted) throw error; // the caller that sent the request was cancelled: send another
      });
    }
    const answer = this.#fetchContextLength(model, options);
    this.#pendingContextLengths.set(model, { answer, signal: options.signal });
    try {
      return await answer;
    } finally {
      this.#pendingContextLengths.delete(model);
    }
  }

  async #fetchContextLength(model: string, options: RequestOptions): Promise<number> {
    const { data } = parseReply(await this.#transport.request('get', '/v1/models', undefined, options), modelList, '/v1/models');
    const own = data.find(({ id }) => id === model);
    if (own === undefined)
      throw new BackspinError(
        'CapabilityMissing',
        `The model server does not serve ${model}; it serves ${data.map(({ id }) => id).join(', ') || 'none'}.`,
      );
    const context = own.max_model_len ?? data.find(({ id }) => id === own.parent)?.max_model_len ?? Infinity;
    this.#contextLengths.set(model, context);
    return context;
  }

  async #tokens(model: string, prompt: Prompt, options: RequestOptions, kwargs?: TemplateKwargs): Promise<readonly number[]> {
    if ('tokens' in prompt) return prompt.tokens;
    return this.#tokenize(isChat(prompt) ? { model, ...chatFields(prompt, kwargs) } : { model, prompt: prompt.text }, options);
  }

  /** Tokens of texts that continue another text, without what the tokenizer puts before every text: a BOS token, or the space of
   *  SentencePiece. Most records of a step are scored on the same few texts, so the last ones are cached. */
  async #continuations(model: string, texts: readonly string[], options: RequestOptions): Promise<readonly (readonly number[])[]> {
    const last = this.#lastContinuations.get(model);
    if (last && last.texts.length === texts.length && texts.every((text, at) => text === last.texts[at])) return last.tokens;
    await this.#beginning(model, BEGINNINGS[0]!, options); // once for all of them
    const tokens = await Promise.all(texts.map((text) => this.#continuation(model, text, options)));
    if (texts.length > 1) this.#lastContinuations.set(model, { texts, tokens });
    return tokens;
  }

  async #continuation(model: string, text: string, options: RequestOptions): Promise<readonly number[]> {
    for (const beginning of BEGINNINGS) {
      const first = await this.#beginning(model, beginning, options);
      const whole = await this.#plain(model, beginning + text, options);
      if (first.every((id, at) => whole[at] === id)) return whole.slice(first.length);
    }
    return this.#plain(model, text, options);
  }
  async #beginning(model: string, text: string, options: RequestOptions): Promise<readonly number[]> {
    const name = `${model}/${text}`;
    const tokens = this.#beginnings.get(name) ?? (await this.#plain(model, text, options));
    this.#beginnings.set(name, tokens);
    return tokens;
  }
  #plain(model: string, prompt: string, options: RequestOptions): Promise<readonly number[]> {
    return this.#tokenize({ model, prompt, add_special_tokens: false }, options);
  }

  async #tokenize(body: object, options: RequestOptions): Promise<readonly number[]> {
    return (await this.#post('/tokenize', body, tokenizeReply, options)).tokens;
  }

  async #post<T>(path: string, body: object, reply: z.ZodType<T>, options: RequestOptions): Promise<T> {
    return parseReply(await this.#transport.request('post', path, body, options), reply, path);
  }
}
