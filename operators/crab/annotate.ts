/** Annotates pairs: what their responses meet already, checked by a model and by code. No response is written or changed (2410.24175). */
import { z } from 'zod';
import { drop, keep, operator, type Context } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { constraintType } from '../../schemas/recipes/crab-types.ts';
import { sampling } from '../../schemas/sampling.ts';
import { inSchema, wholeReply } from '../reply.ts';
import { meets } from '../rules/index.ts';
import { deriveConstraints, ruleTypes } from './derive.ts';
import { parseConstraints, parseRefined, parseVerdict } from './parse.ts';
import { user, withReply } from '../turns.ts';
import { chat, described, pair, tidied, type Constraint } from './records.ts';
import { rougeL, withoutTwins } from './similar.ts';

/** G1, G2, G3, R1 and U1: an instruction in more detail, and constraints of all types. A request that fails leaves its part out. */
export const describe = operator({
  version: 1,
  input: pair,
  output: described,
  params: z.object({
    prompts: z.object({ refine: registered, whole: registered, part: registered }),
    sampling,
    types: z.array(constraintType),
    rules: z.enum(['corrected', 'reference']),
  }),
  roles: ['annotator'],
  capabilities: ['chat'],
  structured: true,
  stochastic: () => true, // the rules draw their limits and wordings, even at temperature 0
  calls: () => 3,
  async run(pair, context, { prompts, sampling, types, rules }) {
    const ask = (name: keyof typeof prompts, slots: object, reply: z.ZodType | null = null) =>
      replyTo(context, context.prompt(prompts[name], slots), inSchema(sampling, reply));
    const of = (scope: 'whole' | 'part') => types.filter((type) => type.scope === scope);
    const [refinement, ...listings] = await Promise.all([
      ask('refine', pair),
      ...(['whole', 'part'] as const).map((scope) => ask(scope, { ...pair, types: of(scope) }, listed(of(scope)))),
    ]);
    const refined = refinement === undefined ? '' : parseRefined(refinement);
    const found = listings.map((reply) => (reply === undefined ? undefined : parseConstraints(reply, types, pair.response)));
    const constraints = new Map<string, Constraint>();
    for (const one of deriveConstraints(pair.response, rules, context.random('rules'))) constraints.set(one.type, one);
    for (const one of found.flatMap((some) => some ?? []))
      if (!constraints.has(one.type) && !isRuleType(one.type)) constraints.set(one.type, { ...one, rule: null });
    const unread = (['refine', 'whole', 'part'] as const).filter((_, n) => (n === 0 ? refined === '' : found[n - 1] === undefined));
    return keep({ ...pair, refined: refined === '' ? null : refined, constraints: [...constraints.values()], unread });
  },
});

/** A constraint of each type, or "NULL". */
const listed = (types: readonly { readonly name: string }[]) =>
  z.strictObject(Object.fromEntries(types.map(({ name }) => [name, z.string()])));

const isRuleType = (type: string): boolean => (ruleTypes as readonly string[]).includes(type);

/** The text of a reply; undefined if it was cut off or is empty. */
async function replyTo(
  context: Context<'annotator'>,
  prompt: Parameters<typeof wholeReply>[2],
  sampling: Parameters<typeof wholeReply>[3],
): Promise<string | undefined> {
  const reply = await wholeReply(context, 'annotator', prompt, sampling);
  return 'dropped' in reply ? undefined : reply.text;
}

const yesOrNo = z.enum(['YES', 'NO']);
const verdictReply = z.strictObject({
  satisfaction: yesOrNo,
  explanation: z.string(),
  modified_constraint: z.string(),
  constraint_validity: yesOrNo,
});

/** K1 and K2: keeps, replaces or deletes each constraint that a model named, by one request. A verdict that cannot be read keeps it. */
export const check = operator({
  version: 1,
  input: described,
  output: described,
  params: z.object({ prompts: z.object({ check: registered }), sampling }),
  roles: ['annotator'],
  capabilities: ['chat'],
  structured: true,
  calls: () => Infinity,
  async run(pair, context, { prompts, sampling }) {
    const { instruction, response } = pair;
    let unread = false;
    const checked = pair.constraints.map(async (one): Promise<readonly Constraint[]> => {
      if (one.rule !== null) return [one];
      const reply = await replyTo(
        context,
        context.prompt(prompts.check, { instruction, response, constraint: one.text }),
        inSchema(sampling, verdictReply),
      );
      const verdict = reply === undefined ? undefined : parseVerdict(reply);
      if (verdict === undefined) unread = true;
      if (verdict === 'delete') return [];
      return [typeof verdict === 'object' ? { ...one, text: verdict.replace } : one];
    });
    const constraints = (await Promise.all(checked)).flat();
    return keep({ ...pair, constraints, unread: [...pair.unread, ...(unread ? (['check'] as const) : [])] });
  },
});

/** A pair with a single constraint, the first that a model named: what a check is measured on. */
export const single = operator({
  version: 1,
  input: described,
  output: described,
  run(pair) {
    const named = pair.constraints.find(({ rule }) => rule === null);
    return named ? keep({ ...pair, constraints: [named] }) : drop('no-constraints');
  },
});

/** F1: removes constraints that say the same as another, and counts those that the refined instruction says too. */
export const tidy = operator({
  version: 1,
  input: described,
  output: tidied,
  params: z.object({ similarity: z.number() }),
  run(pair, _context, { similarity }) {
    const constraints = withoutTwins(pair.constraints, similarity);
    const overlap = constraints.filter(({ text }) => pair.refined !== null && rougeL(text, pair.refined) > similarity).length;
    return constraints.length === 0 ? drop('no-constraints') : keep({ ...pair, constraints, overlap });
  },
});

/** Executes each rule on the response, and drops a pair of which one is false. */
export const verify = operator({
  version: 1,
  input: tidied,
  output: tidied,
  async run(pair) {
    const met = await Promise.all(pair.constraints.map(async ({ rule }) => rule === null || meets(pair.response, rule)));
    const broken = pair.constraints.filter((_, n) => !met[n]);
    return broken.length === 0 ? keep(pair) : drop('rule-false', broken.map(({ text }) => text).join('\n'));
  },
});

/** The pair as it came, without constraints: for the arm `plain`. */
export const bare = operator({
  version: 1,
  input: tidied,
  output: chat,
  run: ({ instruction, response }) => keep({ messages: [...withReply(user(instruction), response).messages] }),
});
