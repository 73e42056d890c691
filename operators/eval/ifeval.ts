/** IFEval: how well a model follows instructions that code can check (2311.07911). */
import { z } from 'zod';
import { keep, operator, prompt, suite } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { sampling } from '../../schemas/sampling.ts';
import { wholeReply } from '../reply.ts';
import { meets, rule, type Rule } from '../rules/index.ts';
import { example } from '../example.ts';
import { user } from '../turns.ts';

/** A line of IFEval's file: ids of rules, and the parameters of each. */
const line = z.object({
  key: z.union([z.int(), z.string()]).optional(),
  prompt: z.string().regex(/\S/, 'it is blank'),
  instruction_id_list: z.array(z.string()).min(1),
  kwargs: z.array(z.record(z.string(), z.unknown())),
});

/** A parameter that is null counts as missing. */
const readRules = ({ instruction_id_list: ids, kwargs }: z.infer<typeof line>) =>
  ids.map((id, n) => {
    const params = Object.entries(kwargs[n] ?? {}).filter(([, value]) => value !== null);
    return rule.safeParse({ id, params: Object.fromEntries(params) });
  });

const item = line.superRefine((line, context) => {
  for (const [n, { error }] of readRules(line).entries())
    for (const { path, ...issue } of error?.issues ?? [])
      context.addIssue({ ...issue, path: path[0] === 'id' ? ['instruction_id_list', n] : ['kwargs', n, ...path.slice(1)] });
});

/** The text with and without what may frame an answer: its first line, its last, asterisks. */
function looseReadings(text: string): string[] {
  const lines = text.split('\n');
  const cuts = [lines.slice(1), lines.slice(0, -1), lines.slice(1, -1)].map((left) => left.join('\n').trim());
  return [text, ...cuts].flatMap((cut) => [cut, cut.replaceAll('*', '')]);
}

async function meetsLoosely(text: string, rule: Rule): Promise<boolean> {
  for (const reading of looseReadings(text)) if (await meets(reading, rule)) return true;
  return false;
}

/** For each rule of the prompt, whether the answer meets it. */
const checked = z.object({ response: z.string(), strict: z.array(z.boolean()), loose: z.array(z.boolean()) });
const params = z.strictObject({
  prompt: registered.default('eval.instruct'),
  sampling: sampling.default({ temperature: 0, maxTokens: 1280 }),
});

/** Asks with the prompt as it is. */
export const instruct = prompt<{ readonly instruction: string }>({
  version: 1,
  example: { instruction: example.instruction },
  render: ({ instruction }) => ({ messages: user(instruction) }),
});

const respond = operator({
  version: 1,
  input: item,
  output: checked,
  params,
  roles: ['model'],
  capabilities: ['chat'],
  async run(line, context, params) {
    const asked = context.prompt(params.prompt, { instruction: line.prompt });
    const reply = await wholeReply(context, 'model', asked, params.sampling, { mayBeCut: true });
    if ('dropped' in reply) return reply;
    const response = reply.text;
    const rules = readRules(line).map(({ data }) => data!); // `input` has refused a line with others
    const strict = await Promise.all(rules.map((one) => meets(response, one)));
    const loose = await Promise.all(rules.map((one) => meetsLoosely(response, one)));
    return keep({ response, strict, loose });
  },
});

/**
 * Asks the prompts of a dataset in the format of IFEval's own file. `promptStrict` is the share of prompts of which an answer meets every
 * rule, `instructionStrict` the share of rules that are met; in the loose numbers an answer may do so without its first line, its last, or
 * its asterisks. `average`: the mean of these four. A prompt without an answer meets nothing. `unread`: lines with rules that nobody
 * knows; they count in none of the other numbers.
 */
export const ifeval = suite({
  version: 1,
  params,
  ask: respond,
  measure(answers) {
    const read = answers.flatMap(({ item: given, answer }) => {
      if (!item.safeParse(given).success) return [];
      const none = given.instruction_id_list.map(() => false);
      return [{ strict: answer?.strict ?? none, loose: answer?.loose ?? none, answered: answer !== undefined }];
    });
    const accuracies = {
      promptStrict: share(read.map(({ strict }) => strict.every(Boolean))),
      promptLoose: share(read.map(({ loose }) => loose.every(Boolean))),
      instructionStrict: share(read.flatMap(({ strict }) => strict)),
      instructionLoose: share(read.flatMap(({ loose }) => loose)),
    };
    const average = Object.values(accuracies).reduce((sum, one) => sum + one, 0) / 4;
    return { ...accuracies, average, answered: share(read.map(({ answered }) => answered)), unread: answers.length - read.length };
  },
  /** The rules that the answer does not meet. */
  each: ({ item, answer: { strict } }) => ({ missed: item.instruction_id_list.filter((_, n) => !strict[n]) }),
});

const share = (met: readonly boolean[]): number => met.filter(Boolean).length / Math.max(1, met.length);
