/** A4 and A5: the generator writes an annotated utterance for each request, and code checks it (2209.09900). */
import { z } from 'zod';
import { drop, keep, operator, scorer } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { segmentation } from '../../schemas/recipes/linguist.ts';
import { sampling } from '../../schemas/sampling.ts';
import { wholeReply } from '../reply.ts';
import { taggedOf } from './grammar.ts';
import { brief, rule, sample } from './records.ts';
import { check, reasons } from './rules.ts';

const prompts = z.object({ generate: registered });

/** One sample of a request. It is dropped for the first rule that it breaks; the evidence names them all. */
export const annotate = operator({
  version: 1,
  input: brief,
  output: sample,
  params: z.object({ prompts, sampling: z.object({ generate: sampling }), segmentation }),
  roles: ['generator'],
  capabilities: ['chat'],
  stochastic: ({ sampling }) => sampling.generate.temperature !== 0,
  async run(brief, context, { prompts, sampling, segmentation }) {
    const reply = await wholeReply(context, 'generator', context.prompt(prompts.generate, brief), sampling.generate);
    if ('dropped' in reply) return reply;
    const raw = reply.text;
    const { rules, pieces } = check(raw, brief, segmentation);
    const broken = rule.options.filter((one) => rules[one] === false);
    if (!pieces) return drop(reasons[broken[0]!], `${broken.join(', ')}: ${raw}`);
    const { language, intent } = brief;
    return keep({ id: null, language, intent, ...taggedOf(pieces), brief, raw, rules, perplexity: null });
  },
});

/** How likely a sample is to the generator, to select the best one of several. */
export const rate = scorer({
  version: 1,
  input: sample,
  output: sample,
  params: z.object({ prompts }),
  role: 'generator',
  ask: ({ brief, raw }, context, { prompts }) => [{ prompt: context.prompt(prompts.generate, brief), continuation: raw }],
  take(sample, [answer]) {
    const tokens = answer?.tokens ?? [];
    const nats = tokens.reduce((sum, { logprob }) => sum - logprob, 0) / tokens.length;
    return tokens.length === 0 ? drop('no-token') : keep({ ...sample, perplexity: Math.exp(nats) });
  },
});
