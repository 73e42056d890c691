/** Perplexity: how well a model predicts texts that it has not seen. */
import { z } from 'zod';
import { drop, keep, operator, suite } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';

const text = z.string().regex(/\S/, 'it is blank');
/** A text, or a response after its instruction. */
const item = z.union([z.object({ instruction: text, response: text }), z.object({ text })]);
/** `nats`: negative log-likelihood of the scored text. `bytes`: its length in UTF-8. */
const scored = z.object({ nats: z.number(), tokens: z.int(), bytes: z.int() });
const params = z.strictObject({
  prompt: registered.default('eval.instruct').describe('For records with instruction and response: the prompt before the response.'),
});

/** A text without an instruction follows a line break, since not every tokenizer has a token that begins a text. */
const BEGINNING = { text: '\n' };

const measure = operator({
  version: 1,
  input: item,
  output: scored,
  params,
  roles: ['model'],
  capabilities: ['score'],
  async run(record, context, { prompt }) {
    const [before, continuation] =
      'text' in record ? [BEGINNING, record.text] : [context.prompt(prompt, { instruction: record.instruction }), record.response];
    const [tokens = []] = await context.score('model', before, [continuation]);
    if (tokens.length === 0) return drop('no-tokens', continuation);
    const nats = -tokens.reduce((sum, { logprob }) => sum + logprob, 0);
    return keep({ nats, tokens: tokens.length, bytes: new TextEncoder().encode(continuation).length });
  },
});

/**
 * Scores the texts of a dataset, or its responses after their instructions. `perplexity`: e to the mean negative log-likelihood of a token,
 * over the tokens of all texts; only models with the same tokenizer compare. `bitsPerByte`: negative log-likelihood in bits per byte of
 * UTF-8, which compares across tokenizers. `tokens`: number of scored tokens. `answered`: share of the texts that were scored; one above the
 * model's context is not. `unread`: number of records of another form.
 */
export const perplexity = suite({
  version: 1,
  params,
  ask: measure,
  measure(answers) {
    const read = answers.filter(({ item: given }) => item.safeParse(given).success);
    const given = read.flatMap(({ answer }) => answer ?? []);
    const nats = sum(given.map((one) => one.nats));
    const tokens = sum(given.map((one) => one.tokens));
    return {
      perplexity: Math.exp(nats / Math.max(1, tokens)),
      bitsPerByte: nats / Math.LN2 / Math.max(1, sum(given.map((one) => one.bytes))),
      tokens,
      answered: given.length / Math.max(1, read.length),
      unread: answers.length - read.length,
    };
  },
  each: ({ answer: { nats, tokens } }) => ({ perplexity: Math.exp(nats / tokens) }),
});

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);
