/** From confidence to weights: a token counts as much as it depends on what the two instructions differ in. */
import { z } from 'zod';
import { keep, operator } from '../../recipe/index.ts';
import { weighing, type Weighing } from '../../schemas/recipes/musc.ts';
import { scored, weightedPair, type Confidence } from './records.ts';

/**
 * The weight of a token by a ratio of confidences: `scale` where its own instruction and the other make it as likely, more where the
 * other makes it less likely, `cap` at most. Log-probabilities of 0 have rules of their own: `bothZero` where both are, else the cap.
 */
export function ratioWeight(own: number, other: number, { scale, cap, bothZero }: Weighing): number {
  if (own === 0) return other === 0 ? bothZero : cap;
  return Math.min(cap, Math.max(0, (scale * other) / own));
}

/** The weight for a difference in nats; a difference of 0 gives `scale`. The form is ours: the paper publishes only the ratio. */
const differenceWeight = (nats: number, { scale, cap }: Weighing): number => Math.min(cap, Math.max(0, scale * (1 + nats)));

export function weightsOf(answer: Confidence, weighing: Weighing): number[] {
  const { own, other, ownEntropy, otherEntropy, kl, reverseKl, none } = answer;
  const weightOf: { readonly [metric in Weighing['metric']]: (t: number) => number } = {
    'logprob-ratio': (t) => ratioWeight(own[t]!, other[t]!, weighing),
    'entropy-ratio': (t) => ratioWeight(ownEntropy[t]!, otherEntropy[t]!, weighing),
    kl: (t) => differenceWeight(kl[t]!, weighing),
    'bi-kl': (t) => differenceWeight(kl[t]! + reverseKl[t]!, weighing),
    pmi: (t) => differenceWeight(own[t]! - none![t]!, weighing),
  };
  const weights = own.map((_, t) => weightOf[weighing.metric](t));
  return weighing.firstToken === null ? weights : [weighing.firstToken, ...weights.slice(1)];
}

export const weigh = operator({
  version: 1,
  input: scored,
  output: weightedPair,
  params: z.object({ weighing }),
  run({ confidence, chosen, rejected, ...pair }, _, { weighing }) {
    const side = (text: string, answer: Confidence) => ({
      text,
      hash: answer.hash,
      ids: answer.ids,
      weights: weightsOf(answer, weighing),
    });
    return keep({ ...pair, chosen: side(chosen, confidence.chosen), rejected: side(rejected, confidence.rejected) });
  },
});
