/** A library of constraints that code can check: the 25 kinds of IFEval (2311.07911), and those that CRAB makes by rules (2410.24175). */
import { z } from 'zod';
import { crabKinds } from './crab.ts';
import { content, keywords, language, lengths } from './ifeval-content.ts';
import { cases, combination, format, punctuation, startAndEnd } from './ifeval-form.ts';
import type { RuleKind } from './kind.ts';

export const ifevalKinds = {
  ...keywords,
  ...language,
  ...lengths,
  ...content,
  ...format,
  ...combination,
  ...cases,
  ...startAndEnd,
  ...punctuation,
};
const kinds = { ...ifevalKinds, ...crabKinds };
type Kinds = typeof kinds;
export type RuleId = keyof Kinds;

type RuleOf = { [K in RuleId]: { readonly id: K; readonly params: z.output<Kinds[K]['params']> } };
/** A kind of constraint with its parameters. */
export type Rule = RuleOf[RuleId];

/** Checks the parameters of a rule by its kind. */
export const rule = z.discriminatedUnion(
  'id',
  Object.entries(kinds).map(([id, { params }]) => z.strictObject({ id: z.literal(id), params })) as never,
) as unknown as z.ZodType<Rule>;

const kindOf = ({ id }: Rule): RuleKind<unknown> => kinds[id];

/** All sentences that demand the rule, in our wording. */
export const wordingsOf = (rule: Rule): readonly [string, ...string[]] => kindOf(rule).wordings(rule.params);
/** One of them, by a number in [0, 1). */
export function describeRule(rule: Rule, lot: number): string {
  const wordings = wordingsOf(rule);
  return wordings[Math.floor(lot * wordings.length)]!;
}

/** Whether a text meets the rule. A blank text meets none. */
export const meets = async (text: string, rule: Rule): Promise<boolean> => text.trim() !== '' && kindOf(rule).check(text, rule.params);
