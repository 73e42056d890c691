/** The per-record half of MAIN: mutual alignment of a forward and a reverse model (2504.12913). */
import { z } from 'zod';
import { drop, keep, operator, scorer, type Scored } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { pair, segment } from '../humpback/records.ts';
import { asking } from '../reply.ts';
import { unframed } from '../unframed.ts';
import { agreed, direction, imagined, measured } from './records.ts';

export { curate } from './curate.ts';
export { invert, respond, toInstruction, toResponse } from './prompts.ts';
export { balance, weigh } from './weigh.ts';

/** A pair by people and nothing else of its row: a `weight` or a `group` among a user's columns would steer the trainings. */
export const humanPair = operator({ version: 1, input: pair, output: pair, run: (pair) => keep(pair) });

/** What the reverse model takes a human response for an answer to: the instruction that the forward model is then trained with. */
export const imagineInstruction = asking({
  version: 3,
  input: pair,
  output: imagined,
  role: 'reverse',
  slots: ({ response }) => ({ text: response }),
  take: (reply, pair) => ({ ...pair, imagined: unframed(reply) }),
});

/** What the forward model answers to a human instruction: the response that the reverse model is then trained with. */
export const imagineResponse = asking({
  version: 2,
  input: pair,
  output: imagined,
  role: 'forward',
  take: (imagined, pair) => ({ ...pair, imagined }),
});

/** The loss of a pair under the model that is about to learn it, given what was imagined and given what people wrote. */
export const measure = scorer({
  version: 1,
  input: imagined,
  output: measured,
  params: z.object({ prompt: registered, direction }),
  role: 'learner',
  calls: () => 2,
  ask({ instruction, response, imagined }, context, { prompt, direction }) {
    const asked = (given: string) => context.prompt(prompt, direction === 'forward' ? { instruction: given } : { text: given });
    const [given, continuation] = direction === 'forward' ? [instruction, response] : [response, instruction];
    return [imagined, given].map((side) => ({ prompt: asked(side), continuation }));
  },
  take(pair, [one, other]) {
    if (!one?.tokens.length || !other?.tokens.length) return drop('no-token');
    return keep({ ...pair, imaginedNll: nllOf(one), seedNll: nllOf(other) });
  },
});

/** An instruction for a text, by the reverse model of the last round. */
export const augment = asking({
  version: 3,
  input: segment,
  output: pair,
  role: 'reverse',
  take: (reply, { text }) => ({ instruction: unframed(reply), response: text }),
});

/** How well the forward model of the last round agrees: the loss of the text, given the instruction that the reverse model wrote. */
export const agree = scorer({
  version: 1,
  input: pair,
  output: agreed,
  params: z.object({ prompt: registered }),
  role: 'forward',
  ask: ({ instruction, response }, context, { prompt }) => [{ prompt: context.prompt(prompt, { instruction }), continuation: response }],
  take: (pair, [answer]) => (answer?.tokens.length ? keep({ ...pair, nll: nllOf(answer) }) : drop('no-token')),
});

/** Mean nats a token. */
const nllOf = ({ tokens }: Scored): number => -tokens.reduce((sum, { logprob }) => sum + logprob, 0) / tokens.length;
