/** Defines kinds of constraints that code can check. */
import type { z } from 'zod';

export interface RuleKind<in P> {
  readonly params: z.ZodType;
  /** Sentences that demand the constraint; each says the same. */
  wordings(params: P): readonly [string, ...string[]];
  /** Whether a text meets the constraint. */
  check(text: string, params: P): boolean | Promise<boolean>;
}

/** @param params checks the parameters, which `wordings` and `check` get */
export const kind = <S extends z.ZodType>(
  params: S,
  wordings: (params: z.output<S>) => readonly [string, ...string[]],
  check: (text: string, params: z.output<S>) => boolean | Promise<boolean>,
): RuleKind<z.output<S>> & { readonly params: S } => ({ params, wordings, check });
