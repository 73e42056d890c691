/** A model behind an OpenAI-compatible server, as operators speak to it: chat, complete, score. */
import { z } from 'zod';
import type { Message } from '../recipe/api.ts';
import type { Prompt, Reply, Sampling, TokenScore } from '../recipe/define.ts';
import { BackspinError } from '../schemas/errors.ts';
import type { Limiter } from './limiter.ts';
import { chatReplies, parsed, textReplies, type End, type Usage } from './replies.ts';
import { scoresAfter, type Post } from './scores.ts';
import { Rejected, Transport, type RequestOptions, type TransportOptions } from './transport.ts';

export { Rejected, Unavailable, Unusable, type Endpoint } from './transport.ts';

/** The prompt and the room for the answer do not fit the model's context. Never sliced: the record is dropped. */
export class TooLong extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TooLong';
  }
}

export interface ClientOptions extends Omit<TransportOptions, 'sockets'> {
  readonly limiter: Limiter;
}
export interface Ask extends RequestOptions {
  readonly seed: number;
}
/** `tokens`: what the model read and wrote for it. */
export interface Answer<T> {
  readonly reply: T;
  readonly tokens: number;
}

/** Tokens that a chat template adds: at most so many for itself, and for every message. Beyond the estimate the server counts. */
const TEMPLATE_TOKENS = { itself: 64, message: 16 };

/** Bytes of a text for each token of it, about. */
const BYTES = 4;
const tokenized = z.object({ tokens: z.array(z.int()), max_model_len: z.int() });
/** An adapter has the context of its base, its parent. A server that keeps contexts to itself refuses what is too long. */
const listed = z.object({ id: z.string(), parent: z.string().nullish(), max_model_len: z.int().nullish() });
const served = z.object({ data: z.array(listed) });

type Kwargs = Sampling['chatTemplateKwargs'];
interface Chat {
  readonly messages: readonly Message[];
  readonly add_generation_prompt?: false;
  readonly continue_final_message?: true;
  readonly chat_template_kwargs?: NonNullable<Kwargs>;
}

export class ModelClient {
  readonly #transport: Transport;
  readonly #limiter: Limiter;
  /** What is known of a served model; a served name stands for the same weights for ever. */
  readonly #contexts = new Map<string, number>();
  /** Models whose context is being asked for: once, however many requests wait for it. */
  readonly #asking = new Map<string, { readonly answer: Promise<number>; readonly signal: AbortSignal }>();
  readonly #beginnings = new Map<string, readonly number[]>();
  readonly #lastCompared = new Map<string, { readonly texts: readonly string[]; readonly tokens: readonly (readonly number[])[] }>();
  /** The server has counted the tokens of an answer. */
  #counts = false;

  constructor({ limiter, ...transport }: ClientOptions) {
    this.#limiter = limiter;
    this.#transport = new Transport({ ...transport, sockets: limiter.limit });
  }

  /** The next turn. Throws TooLong, Rejected, and what `Transport.request` throws. */
  chat(model: string, messages: readonly Message[], sampling: Sampling, ask: Ask): Promise<Answer<Reply>> {
    return this.complete(model, { messages }, sampling, ask);
  }

  /** What comes after the prompt; after messages with `prefill`, the rest of the turn that it opens. */
  complete(model: string, prompt: Prompt, sampling: Sampling, ask: Ask): Promise<Answer<Reply>> {
    return this.#limiter.run(ask.signal, () => this.#completed(model, prompt, sampling, ask), {
      ...ask,
      alive: () => this.alive(model, prompt, ask.signal),
    });
  }

  /** Whether the server gives a reply to a small request that is like this one, or at a path of its own; while others wait for none. */
  async alive(model: string, like: Prompt | 'score', signal: AbortSignal, path?: string): Promise<boolean> {
    const ask = { seed: 1, requestId: 'check/alive', signal };
    try {
      if (path === '/v1/models') return false;
      if (path === '/tokenize') await this.#tokenize({ model, prompt: 'A' }, ask);
      else if (like === 'score') await this.#scored(model, { text: 'One, two,' }, [' three'], ask);
      else await this.#completed(model, smallest(like), { temperature: 0, maxTokens: 1 }, ask);
      return true;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  async #completed(model: string, prompt: Prompt, sampling: Sampling, ask: Ask): Promise<Answer<Reply>> {
    await this.#fits(model, prompt, sampling, ask);
    const body = {
      model,
      ...(isChat(prompt) ? chatOf(prompt, sampling.chatTemplateKwargs) : { prompt: contentOf(prompt) }),
      ...sampled(sampling, ask.seed),
    };
    if (isChat(prompt)) {
      const {
        choices: [choice],
        usage,
      } = await this.#post('/v1/chat/completions', body, chatReplies[this.#counts ? 'lenient' : 'strict'], ask);
      return this.#answer(prompt, choice.message.content ?? '', choice.finish_reason, usage);
    }
    const {
      choices: [choice],
      usage,
    } = await this.#post('/v1/completions', body, textReplies[this.#counts ? 'lenient' : 'strict'], ask);
    return this.#answer(prompt, choice.text, choice.finish_reason, usage);
  }

  #answer(prompt: Prompt, text: string, finish: End, usage: Usage | undefined): Answer<Reply> {
    if (finish === 'content_filter') throw new Rejected(200, 'the server withheld its reply (content_filter)');
    this.#counts ||= usage !== undefined;
    const estimate = () => Math.ceil((atMost(prompt) + Buffer.byteLength(text)) / BYTES);
    return { reply: { text, finish }, tokens: usage ? usage.prompt_tokens + usage.completion_tokens : estimate() };
  }

  /** Log-probabilities of the tokens of each of `continuations` after `prompt`. Prompt and continuation are tokenised apart, so no token
   *  spans both. One request where they differ in their last token alone and are all likely; else one for each that is not. */
  score(
    model: string,
    prompt: Prompt,
    continuations: readonly string[],
    ask: RequestOptions,
  ): Promise<Answer<readonly (readonly TokenScore[])[]>> {
    return this.#limiter.run(ask.signal, () => this.#scored(model, prompt, continuations, ask), {
      ...ask,
      alive: () => this.alive(model, 'score', ask.signal),
    });
  }

  async #scored(
    model: string,
    prompt: Prompt,
    continuations: readonly string[],
    ask: RequestOptions,
  ): Promise<Answer<readonly (readonly TokenScore[])[]>> {
    const [before, all] = await Promise.all([this.#tokens(model, prompt, ask), this.#continuations(model, continuations, ask)]);
    const context = await this.#context(model, ask);
    const tokens = before.length + Math.max(...all.map(({ length }) => length));
    if (tokens >= context) throw new TooLong(`prompt and continuation have ${tokens} tokens, the context ${context} for them and one more`);
    if (before.length === 0) throw new Rejected(400, 'the prompt has no tokens, so nothing predicts the first of the continuation');
    const post: Post = (body, reply) => this.#post('/v1/completions', { model, ...body }, reply, ask);
    return { reply: await scoresAfter(post, before, all), tokens };
  }

  /** Throws TooLong. A token is at least one byte, so short texts need no count. */
  async #fits(model: string, prompt: Prompt, { maxTokens, chatTemplateKwargs }: Sampling, ask: RequestOptions): Promise<void> {
    const context = await this.#context(model, ask);
    if (atMost(prompt) + maxTokens <= context) return;
    const tokens = (await this.#tokens(model, prompt, ask, chatTemplateKwargs)).length;
    if (tokens + maxTokens > context)
      throw new TooLong(`the prompt has ${tokens} tokens and the answer may have ${maxTokens}, the context ${context}`);
  }

  async #context(model: string, ask: RequestOptions): Promise<number> {
    for (;;) {
      const known = this.#contexts.get(model);
      if (known !== undefined) return known;
      const asking = this.#asking.get(model);
      if (!asking) break;
      await asking.answer.catch((error: unknown) => {
        ask.signal.throwIfAborted();
        if (!asking.signal.aborted) throw error; // who asked has gone: another asks
      });
    }
    const answer = this.#askContext(model, ask);
    this.#asking.set(model, { answer, signal: ask.signal });
    try {
      return await answer;
    } finally {
      this.#asking.delete(model);
    }
  }

  async #askContext(model: string, ask: RequestOptions): Promise<number> {
    const { data } = parsed(await this.#transport.request('get', '/v1/models', undefined, ask), served, '/v1/models');
    const own = data.find(({ id }) => id === model);
    if (own === undefined)
      throw new BackspinError(
        'CapabilityMissing',
        `The model server does not serve ${model}; it serves ${data.map(({ id }) => id).join(', ') || 'none'}.`,
      );
    const context = own.max_model_len ?? data.find(({ id }) => id === own.parent)?.max_model_len ?? Infinity;
    this.#contexts.set(model, context);
    return context;
  }

  async #tokens(model: string, prompt: Prompt, ask: RequestOptions, kwargs?: Kwargs): Promise<readonly number[]> {
    if ('tokens' in prompt) return prompt.tokens;
    return this.#tokenize(isChat(prompt) ? { model, ...chatOf(prompt, kwargs) } : { model, prompt: prompt.text }, ask);
  }

  /** Tokens of texts that continue another: without those that the tokenizer puts before every text. The records of a step are mostly
   *  compared by the same few texts, so those that were asked for last are remembered. */
  async #continuations(model: string, texts: readonly string[], ask: RequestOptions): Promise<readonly (readonly number[])[]> {
    const last = this.#lastCompared.get(model);
    if (last && last.texts.length === texts.length && texts.every((text, at) => text === last.texts[at])) return last.tokens;
    const beginning = this.#beginnings.get(model) ?? (await this.#tokenize({ model, prompt: '' }, ask));
    this.#beginnings.set(model, beginning);
    const tokens = await Promise.all(
      texts.map(async (text) => {
        const ids = await this.#tokenize({ model, prompt: text }, ask);
        return beginning.every((id, i) => ids[i] === id) ? ids.slice(beginning.length) : ids;
      }),
    );
    if (texts.length > 1) this.#lastCompared.set(model, { texts, tokens });
    return tokens;
  }

  async #tokenize(body: object, ask: RequestOptions): Promise<readonly number[]> {
    return (await this.#post('/tokenize', body, tokenized, ask)).tokens;
  }

  async #post<T>(path: string, body: object, reply: z.ZodType<T>, ask: RequestOptions): Promise<T> {
    return parsed(await this.#transport.request('post', path, body, ask), reply, path);
  }
}

/** A prompt of the same kind. */
function smallest(prompt: Prompt): Prompt {
  if (!isChat(prompt)) return { text: 'A' };
  return { messages: [{ role: 'user', content: 'A' }], ...(prompt.prefill !== undefined && { prefill: 'A' }) };
}

const isChat = (prompt: Prompt): prompt is Extract<Prompt, { messages: unknown }> => 'messages' in prompt;
const contentOf = (prompt: Exclude<Prompt, { messages: unknown }>) => ('text' in prompt ? prompt.text : prompt.tokens);

/** A turn that is opened is one to continue, not one to answer. */
function chatOf({ messages, prefill }: Extract<Prompt, { messages: unknown }>, kwargs?: Kwargs): Chat {
  const more = kwargs === undefined ? {} : { chat_template_kwargs: kwargs };
  if (prefill === undefined) return { messages, ...more };
  const opened = { role: 'assistant', content: prefill } as const;
  return { messages: [...messages, opened], add_generation_prompt: false, continue_final_message: true, ...more };
}

function atMost(prompt: Prompt): number {
  if ('tokens' in prompt) return prompt.tokens.length;
  if ('text' in prompt) return Buffer.byteLength(prompt.text) + TEMPLATE_TOKENS.itself;
  const { messages } = chatOf(prompt);
  return messages.reduce((sum, { content }) => sum + Buffer.byteLength(content) + TEMPLATE_TOKENS.message, TEMPLATE_TOKENS.itself);
}

function sampled({ temperature, topP, topK, repetitionPenalty, maxTokens, stop }: Sampling, seed: number) {
  return {
    temperature,
    max_tokens: maxTokens,
    seed,
    ...(topP !== undefined && { top_p: topP }),
    ...(topK !== undefined && { top_k: topK }),
    ...(repetitionPenalty !== undefined && { repetition_penalty: repetitionPenalty }),
    ...(stop !== undefined && stop.length > 0 && { stop }),
  };
}
