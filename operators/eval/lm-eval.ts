/** Benchmark tasks of EleutherAI's harness (lm_eval), asked by backspin. */
import { z } from 'zod';
import { keep, operator, suite, type Context } from '../../recipe/index.ts';
import { requestReply } from '../reply.ts';

const role = z.enum(['system', 'user', 'assistant']);
const prompt = z.union([
  z.object({ text: z.string() }),
  z.object({ messages: z.array(z.object({ role, content: z.string() })), prefill: z.string().exactOptional() }),
]);
const likelihood = z.object({
  prompt,
  continuation: z.string(),
  greedy: z.boolean().default(false).describe('Whether the task asks if the continuation is what greedy decoding gives.'),
});
const generation = z.object({ prompt, stop: z.array(z.string()), maxTokens: z.int() });
const document = z.object({
  task: z.string(),
  document: z.int(),
  requests: z.array(z.union([generation, likelihood])).min(1),
});
/** The tasks, with the files of local ones. */
const setup = z.object({ setup: z.looseObject({}) });
/** In the order of the requests: a text, or log-probability (nats) and whether greedy decoding gives the continuation. */
const answered = z.object({ answers: z.array(z.union([z.string(), z.tuple([z.number(), z.boolean()])])) });

type Request = z.output<typeof document>['requests'][number];
type Likelihood = z.output<typeof likelihood>;

const respond = operator({
  version: 1,
  input: z.union([document, setup]),
  output: answered,
  params: z.strictObject({}),
  roles: ['model'],
  capabilities: ['complete', 'score'],
  stochastic: () => false,
  calls: () => Infinity,
  async run(item, context) {
    if ('setup' in item) return keep({ answers: [] });
    // Continuations of one prompt go together: the server may read it once.
    const groups = Map.groupBy(item.requests.filter(isLikelihood), (request) => JSON.stringify(request.prompt));
    const scored = new Map<Request, number>();
    for (const requests of groups.values()) {
      const continuations = requests.map(({ continuation }) => continuation);
      const all = await context.score('model', requests[0]!.prompt, continuations);
      for (const [at, request] of requests.entries())
        scored.set(
          request,
          all[at]!.reduce((sum, { logprob }) => sum + logprob, 0),
        );
    }
    const answers = item.requests.map(async (request) => {
      if (!isLikelihood(request)) return generate(context, request.prompt, request.maxTokens, request.stop);
      return [scored.get(request)!, request.greedy && (await isGreedy(context, request))] as [number, boolean];
    });
    return keep({ answers: await Promise.all(answers) });
  },
});

const isLikelihood = (request: Request): request is Likelihood => 'continuation' in request;

async function generate(context: Context<'model'>, prompt: Request['prompt'], maxTokens: number, stop: readonly string[]): Promise<string> {
  const { text } = await requestReply(context, 'model', prompt, { temperature: 0, maxTokens, ...(stop.length > 0 && { stop }) });
  return text;
}

/** Whether greedy decoding begins with the continuation. */
async function isGreedy(context: Context<'model'>, { prompt, continuation }: Likelihood): Promise<boolean> {
  const enough = new TextEncoder().encode(continuation).length; // no token is shorter than a byte
  return (await generate(context, prompt, enough, [])).startsWith(continuation);
}

/**
 * The numbers of the harness, by `task.metric`, with the ends of the 95 % interval where it gives a standard error. A document without an
 * answer counts in none of them; `answered` is the share of the others. `documents`: number of documents.
 */
export const lmEval = suite({
  version: 1,
  params: z.strictObject({}),
  ask: respond,
  harness: (answers) => answers.map(({ item, answer }) => ({ ...item, ...answer })),
  measure(answers) {
    const asked = answers.filter(({ item }) => 'task' in item);
    const given = asked.filter(({ answer }) => answer !== undefined);
    return { answered: given.length / Math.max(1, asked.length), documents: asked.length };
  },
});
