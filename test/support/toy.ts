/** Defines a world of numbers: operators and reducers without models or delays, for tests of the engine. */
import { z } from 'zod';
import {
  drop,
  keep,
  operator,
  reducer,
  source,
  dataSuite,
  template,
  type Dataset,
  type Report,
  type MaybePromise,
  type Tagged,
} from '../../recipe/index.ts';

export const namespace = 'toy';

const number = z.object({ n: z.number() });
type Numbered = z.infer<typeof number>;

export const numbers = source({
  version: 1,
  output: number,
  params: z.object({ count: z.int() }),
  *rows({ count }) {
    for (let n = 0; n < count; n++) yield { n };
  },
});

export const cities = [['rome'], ['new', 'york'], ['san', 'marino'], ['oslo']] as const;
/** Sentences of two intents, which name a city. */
export const rows: readonly Tagged[] = cities.flatMap((city) => {
  const slot = city.map((_, n) => (n === 0 ? 'B-city' : 'I-city'));
  return [
    { tokens: ['what', 'about', ...city], tags: ['O', 'O', ...slot], intent: 'ask' },
    { tokens: ['no', ...city], tags: ['O', ...slot], intent: 'refuse' },
  ];
});
export const sentences = source({
  version: 1,
  output: z.object({ tokens: z.array(z.string()), tags: z.array(z.string()), intent: z.string() }),
  rows: () => rows,
});

/** Reads numbers from a file, one JSON object per line. */
export const file = source({
  version: 1,
  output: number,
  params: z.object({ path: z.string() }),
  files: ({ path }) => [path],
  async *rows(_, [path]) {
    const { readFile } = await import('node:fs/promises');
    for (const line of (await readFile(path!, 'utf8')).split('\n')) if (line !== '') yield JSON.parse(line);
  },
});

export const double = operator({ version: 1, input: number, output: number, run: ({ n }) => keep({ n: 2 * n }) });

/** Keeps numbers that are not multiples of `by`; `stochastic` makes it run again in each round. */
export const sieve = operator({
  version: 1,
  input: number,
  output: number,
  params: z.object({ by: z.int() }),
  stochastic: () => true,
  run: ({ n }, { random }, { by }) =>
    n % by === 0 ? drop('multiple', `${n} = ${by} x ${n / by}`) : keep({ n: n + Math.floor(random('step')() * 3) }),
});

/** Fails permanently while the file in `BACKSPIN_TOY_BROKEN` exists. */
export const fragile = operator({
  version: 1,
  input: number,
  output: number,
  async run({ n }) {
    const { existsSync } = await import('node:fs');
    const { BackspinError } = await import('../../schemas/errors.ts');
    if (existsSync(process.env['BACKSPIN_TOY_BROKEN'] ?? '')) throw new BackspinError('ConfigError', 'the toy is broken');
    return keep({ n });
  },
});

/** Requests a number from a model and keeps the reply. */
export const ask = operator({
  version: 1,
  input: number,
  output: z.object({ n: z.number(), said: z.string() }),
  roles: ['speaker'],
  capabilities: ['chat'],
  async run({ n }, { chat }) {
    const { text } = await chat('speaker', [{ role: 'user', content: `say ${n}` }], { temperature: 1, maxTokens: 8 });
    return text === '' ? drop('silent') : keep({ n, said: text });
  },
});

/** Asks a model about a number, and takes its likeliest reply. */
export const rate = operator({
  version: 1,
  input: number,
  output: z.object({ n: z.number(), said: z.string() }),
  roles: ['speaker'],
  capabilities: ['chat'],
  stochastic: () => false,
  async run({ n }, { chat }) {
    const { text } = await chat('speaker', [{ role: 'user', content: `rate ${n}` }], { temperature: 0, maxTokens: 8 });
    return keep({ n, said: text });
  },
});

/** Sends the same number to two models. */
export const compare = operator({
  version: 1,
  input: number,
  output: z.object({ n: z.number(), said: z.array(z.string()) }),
  roles: ['speaker', 'other'],
  capabilities: ['chat'],
  calls: () => 2,
  async run({ n }, { chat }) {
    const ask = async (role: 'speaker' | 'other') =>
      (await chat(role, [{ role: 'user', content: `say ${n}` }], { temperature: 0, maxTokens: 8 })).text;
    return keep({ n, said: [await ask('speaker'), await ask('other')] });
  },
});

const said = (question: string, answer: string) => ({
  messages: [
    { role: 'user' as const, content: question },
    { role: 'assistant' as const, content: answer },
  ],
});
export const toAnswer = template({ version: 1, render: ({ n }: Numbered) => said(`say ${n}`, String(n)) });
export const toQuestion = template({ version: 1, render: ({ n }: Numbered) => said(String(n), `say ${n}`) });

export const total = reducer<{ of: MaybePromise<Dataset<Numbered>> }, Report<{ sum: number }>>({
  version: 1,
  outputs: 'report',
  async run({ of }) {
    let sum = 0;
    for await (const { value } of of) sum += value.n;
    return { sum };
  },
});

export const truth = dataSuite({
  version: 1,
  oracle: true,
  async measure(rows: AsyncIterable<{ value: Numbered }> & { rows: number }) {
    return { rows: rows.rows };
  },
});
