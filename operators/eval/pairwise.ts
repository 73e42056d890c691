/** Pairwise comparison by a judge model, as AlpacaEval does it: a model's answers against other answers to the same instructions. */
import { z } from 'zod';
import { keep, operator, prompt, suite } from '../../recipe/index.ts';
import { parseLetter } from '../back-and-forth/parse.ts';
import { registered } from '../../schemas/config.ts';
import { sampling } from '../../schemas/sampling.ts';
import { example } from '../example.ts';
import { codePoints } from '../lengths.ts';
import { wholeReply } from '../reply.ts';
import { user } from '../turns.ts';
import { winRates } from './win-rate.ts';

const asked = z.object({ instruction: z.string().regex(/\S/, 'it is blank') });
const answered = asked.extend({ response: z.string().regex(/\S/, 'it is blank') });
/** `won`: whether the judge preferred the model's answer, shown first and shown second; null: the verdict cannot be read. `said`: both
 *  verdicts. */
const compared = z.object({
  response: z.string(),
  other: z.string(),
  won: z.tuple([z.boolean().nullable(), z.boolean().nullable()]),
  said: z.tuple([z.string(), z.string()]),
});
type Compared = z.output<typeof compared>;

const params = z.strictObject({
  prompts: z.strictObject({ respond: registered.default('eval.instruct'), compare: registered.default('eval.compare') }).prefault({}),
  sampling: z
    .strictObject({
      respond: sampling.default({ temperature: 0, maxTokens: 1024 }),
      judge: sampling.default({ temperature: 0, maxTokens: 16 }),
    })
    .prefault({}),
});
type Params = z.output<typeof params>;

/** Asks which of two answers is better. */
export const compare = prompt<{ readonly instruction: string; readonly first: string; readonly second: string }>({
  version: 1,
  example: { instruction: example.instruction, first: example.response, second: example.text },
  render: ({ instruction, first, second }) => ({
    messages: user(`Two assistants have answered an instruction. Compare how well each answer does what the instruction asks: whether it is
correct, complete and clear. Its length and its place do not count.

Instruction:
${instruction}

Answer A:
${first}

Answer B:
${second}

Which answer is better? Reply with the letter alone, A or B.`),
  }),
});

const isStochastic = ({ sampling: { respond, judge } }: Params): boolean => respond.temperature !== 0 || judge.temperature !== 0;

/** Against the responses of the dataset. A cut reply is compared as it is. */
const againstData = operator({
  version: 1,
  input: answered,
  output: compared,
  params,
  roles: ['model', 'judge'],
  capabilities: ['chat'],
  calls: () => 3,
  stochastic: isStochastic,
  async run({ instruction, response: other }, context, { prompts, sampling }) {
    const question = context.prompt(prompts.respond, { instruction });
    const reply = await wholeReply(context, 'model', question, sampling.respond, { mayBeCut: true });
    if ('dropped' in reply) return reply;
    const { text: response } = reply;
    const verdictOf = async (own: 'A' | 'B') => {
      const [first, second] = own === 'A' ? [response, other] : [other, response];
      const verdict = await wholeReply(context, 'judge', context.prompt(prompts.compare, { instruction, first, second }), sampling.judge, {
        mayBeCut: true,
      });
      const said = 'dropped' in verdict ? (verdict.evidence ?? '') : verdict.text;
      const letter = parseLetter(said);
      return { said, won: letter === undefined ? null : letter === own };
    };
    // Judges favour the first answer, so each answer is shown first once.
    const [shownFirst, shownSecond] = await Promise.all([verdictOf('A'), verdictOf('B')]);
    return keep({ response, other, won: [shownFirst.won, shownSecond.won], said: [shownFirst.said, shownSecond.said] });
  },
});

/** Of both verdicts: 1, 0, or 0.5 for a tie, if the judge prefers another answer in each order. undefined: one of them cannot be read. */
function preferenceOf({ won: [first, second] }: Compared): number | undefined {
  return first === null || second === null ? undefined : (Number(first) + Number(second)) / 2;
}

/**
 * Asks the instructions of a dataset, and has a judge compare each answer with the dataset's `response`, in both orders. `winRate`: share of
 * the instructions at which the judge prefers the model's answer in both orders; a tie, at which the order decides, counts half, and an
 * instruction without an answer is lost. `lengthControlled`: the win rate that a logistic regression expects between answers of equal
 * length. Both with the ends of their 95 % interval, by a bootstrap over instructions. An instruction with an unreadable verdict counts in
 * neither: `unreadable` is the share of such verdicts. `ties`: share of ties among the compared. `firstPreferred`: share of readable verdicts
 * for the answer shown first; 0.5 is a judge that does not mind the order.
 */
export const pairwise = suite({
  version: 1,
  params,
  ask: againstData,
  measure(answers) {
    const read = answers.filter(({ item }) => answered.safeParse(item).success);
    const given = read.flatMap(({ answer }) => answer ?? []);
    const lost = read
      .filter(({ answer }) => answer === undefined)
      .map(({ item }) => ({ preference: 0, longer: -codePoints(item.response) }));
    const decided = given.flatMap((one) => {
      const preference = preferenceOf(one);
      return preference === undefined ? [] : [{ preference, longer: codePoints(one.response) - codePoints(one.other) }];
    });
    const { winRate, lengthControlled } = winRates([...decided, ...lost]);
    const verdicts = given.flatMap(({ won }) => won);
    const forFirst = given.flatMap(({ won: [first, second] }) => [first, second === null ? null : !second]).filter((one) => one !== null);
    return {
      winRate: winRate.value,
      winRateLow: winRate.low,
      winRateHigh: winRate.high,
      lengthControlled: lengthControlled.value,
      lengthControlledLow: lengthControlled.low,
      lengthControlledHigh: lengthControlled.high,
      ties: mean(decided.map(({ preference }) => Number(preference === 0.5))),
      firstPreferred: mean(forFirst.map(Number)),
      unreadable: mean(verdicts.map((one) => Number(one === null))),
      answered: given.length / Math.max(1, read.length),
      unread: answers.length - read.length,
      responseChars: mean(given.map(({ response }) => codePoints(response))),
      otherChars: mean(given.map(({ other }) => codePoints(other))),
    };
  },
  each: ({ answer }) => ({ preference: preferenceOf(answer) ?? null }),
});

const mean = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0) / Math.max(1, numbers.length);
