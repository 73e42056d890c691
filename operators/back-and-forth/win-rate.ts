/** Measures the win rate of a model's answers over reference answers, by a judge model (appendix A.4). */
import { z } from 'zod';
import { keep, operator, suite } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { sampling } from '../../schemas/sampling.ts';
import { codePoints } from '../lengths.ts';
import { wholeReply } from '../reply.ts';
import { parseLetter } from './parse.ts';

const item = z.strictObject({ instruction: z.string().min(1), reference: z.string().min(1) });
/** `won`: whether the judge preferred the model's answer, in first and in second place; null: the verdict cannot be read. */
const compared = z.object({ response: z.string(), won: z.array(z.boolean().nullable()) });
const params = z.strictObject({
  items: z.array(item).min(1).describe('What is asked, and the answers to beat.'),
  prompts: z
    .strictObject({ respond: registered.default('back-and-forth.respond'), compare: registered.default('back-and-forth.comparing') })
    .prefault({}),
  sampling: sampling.default({ temperature: 0.7, topP: 0.9, maxTokens: 512 }),
});

const compare = operator({
  version: 1,
  input: item,
  output: compared,
  params,
  roles: ['model', 'judge'],
  capabilities: ['chat'],
  calls: () => 3,
  async run({ instruction, reference }, context, { prompts, sampling }) {
    const reply = await wholeReply(context, 'model', context.prompt(prompts.respond, { instruction }), sampling);
    if ('dropped' in reply) return reply;
    const response = reply.text;
    // Judges favour the first answer, so each answer is shown first once.
    const won = await Promise.all(
      (['A', 'B'] as const).map(async (own) => {
        const [first, second] = own === 'A' ? [response, reference] : [reference, response];
        const asked = context.prompt(prompts.compare, { instruction, first, second });
        const verdict = await wholeReply(context, 'judge', asked, { temperature: 0, maxTokens: 16 }, { mayBeCut: true });
        const letter = 'dropped' in verdict ? undefined : parseLetter(verdict.text);
        return letter === undefined ? null : letter === own;
      }),
    );
    return keep({ response, won });
  },
});

/** `winRate`: the share of verdicts that prefer the model's answers; an instruction without an answer loses twice. `judged`: the share of
 *  verdicts that can be read, and the only ones that count. `responseChars`: mean length in characters. */
export const winRate = suite({
  version: 1,
  params,
  items: ({ items }) => items,
  ask: compare,
  measure(answers) {
    const given = answers.flatMap(({ answer }) => answer ?? []);
    const verdicts = given.flatMap(({ won }) => won);
    const counted = [...verdicts.filter((one) => one !== null), ...answers.flatMap(({ answer }) => (answer ? [] : [false, false]))];
    return {
      winRate: mean(counted.map(Number)),
      judged: mean(verdicts.map((one) => (one === null ? 0 : 1))),
      responseChars: mean(given.map(({ response }) => codePoints(response))),
    };
  },
  each: ({ answer: { won } }) => ({ won: mean(won.filter((one) => one !== null).map(Number)) }),
});

const mean = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0) / Math.max(1, numbers.length);
