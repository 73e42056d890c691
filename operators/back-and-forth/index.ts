/** Exports the operators of back-and-forth translation (2408.04614). Humpback's operators write and judge the instructions. */
import { z } from 'zod';
import { drop, keep, operator, type Dropped } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { sampling } from '../../schemas/sampling.ts';
import { segment } from '../humpback/records.ts';
import { codePoints } from '../lengths.ts';
import { promptOperator, wholeReply } from '../reply.ts';
import { parseRewritten } from './parse.ts';
import { document, draft, rewritten } from './records.ts';

export { answering, backward, comparing, respond, rewriting, rewritingShown, toInstruction } from './prompts.ts';
export { winRate } from './win-rate.ts';

/** Keeps documents of one split of a corpus, up to a length in characters (3.1). */
export const usable = operator({
  version: 1,
  input: document,
  output: segment,
  params: z.object({ split: z.string().nullable(), maxChars: z.int().min(1).nullable() }),
  run({ text, split: own }, _context, { split, maxChars }) {
    if (split !== null && typeof own === 'string' && own !== split) return drop('other-split', own);
    const chars = codePoints(text);
    return maxChars !== null && chars > maxChars ? drop('too-long', `${chars} characters`) : keep({ text });
  },
});

/** Rewrites the response for its instruction with a model that sees both. Samples again while a reply has no text between the markers. */
export const rewrite = operator({
  version: 1,
  input: draft,
  output: rewritten,
  params: z.object({ prompt: registered, sampling, attempts: z.int().min(1) }),
  roles: ['rewriter'],
  capabilities: ['chat'],
  calls: ({ attempts }) => attempts,
  async run(pair, context, { prompt: name, sampling, attempts }) {
    const prompt = context.prompt(name, pair);
    const opening = 'messages' in prompt ? (prompt.prefill ?? '') : '';
    let last: Dropped = drop('no-markers');
    const response = await context.attempts(attempts, async () => {
      // A reply that is cut off after both markers is complete.
      const reply = await wholeReply(context, 'rewriter', prompt, sampling, { opening, mayBeCut: true });
      const found = 'dropped' in reply ? reply : parseRewritten(reply.text);
      if (typeof found === 'string') return found;
      last = found;
      return undefined;
    });
    return response === undefined ? last : keep({ ...pair, draft: pair.response, response });
  },
});

/** The control: the same model answers the instruction without seeing the document. */
export const distil = promptOperator({
  version: 1,
  input: draft,
  output: rewritten,
  role: 'rewriter',
  slots: ({ instruction }) => ({ instruction }),
  take: (response, pair) => ({ ...pair, draft: pair.response, response }),
});
