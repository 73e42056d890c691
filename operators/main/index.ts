/** Exports the operators of MAIN: mutual alignment of a forward and a reverse model (2504.12913). */
import { z } from 'zod';
import { drop, keep, operator, scorer, type Scored } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { pair, segment } from '../humpback/records.ts';
import { promptOperator } from '../reply.ts';
import { unframed } from '../unframed.ts';
import { agreed, direction, imagined, measured } from './records.ts';

export { curate } from './curate.ts';
export { invert, respond, toInstruction, toResponse } from './prompts.ts';
export { balance, weigh } from './weigh.ts';

/** Keeps only instruction and response of a human pair: a column `weight` or `group` of the user's data would change the training. */
export const humanPair = operator({ version: 1, input: pair, output: pair, run: (pair) => keep(pair) });

/** The reverse model generates an instruction for a human response; the forward model is then trained with it. */
export const imagineInstruction = promptOperator({
  version: 3,
  input: pair,
  output: imagined,
  role: 'reverse',
  slots: ({ response }) => ({ text: response }),
  take: (reply, pair) => ({ ...pair, imagined: unframed(reply) }),
});

/** The forward model answers a human instruction; the reverse model is then trained with this response. */
export const imagineResponse = promptOperator({
  version: 2,
  input: pair,
  output: imagined,
  role: 'forward',
  take: (imagined, pair) => ({ ...pair, imagined }),
});

/** Measures the loss of a pair under the model that is about to learn it, given the generated side and given the human side. */
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
    return keep({ ...pair, imaginedNll: meanNll(one), seedNll: meanNll(other) });
  },
});

/** The previous round's reverse model generates an instruction for a text. */
export const augment = promptOperator({
  version: 3,
  input: segment,
  output: pair,
  role: 'reverse',
  take: (reply, { text }) => ({ instruction: unframed(reply), response: text }),
});

/** Measures the agreement of the previous round's forward model: the loss of the text given the reverse model's instruction. */
export const agree = scorer({
  version: 1,
  input: pair,
  output: agreed,
  params: z.object({ prompt: registered }),
  role: 'forward',
  ask: ({ instruction, response }, context, { prompt }) => [{ prompt: context.prompt(prompt, { instruction }), continuation: response }],
  take: (pair, [answer]) => (answer?.tokens.length ? keep({ ...pair, nll: meanNll(answer) }) : drop('no-token')),
});

/** Nats per token. */
const meanNll = ({ tokens }: Scored): number => -tokens.reduce((sum, { logprob }) => sum + logprob, 0) / tokens.length;
