/** What the operators of Self-Lengthen share that send requests. */
import { z } from 'zod';
import { drop, type Context, type Dropped, type Outcome } from '../../recipe/index.ts';
import { registered } from '../../schemas/config.ts';
import { sampling } from '../../schemas/sampling.ts';

export const count = z.int().min(1);
const forEach = <K extends string, S extends z.ZodType>(names: readonly K[], schema: S) =>
  z.object(Object.fromEntries(names.map((name) => [name, schema])) as Record<K, S>);

/** Parameters for requests of these names: a prompt and a sampling for each. */
export const requests = <const K extends string>(...names: readonly K[]) => ({
  prompts: forEach(names, registered),
  sampling: forEach(names, sampling),
});

export const stochastic = (params: { readonly sampling: Readonly<Record<string, { readonly temperature: number }>> }): boolean =>
  Object.values(params.sampling).some(({ temperature }) => temperature !== 0);

/** Samples afresh until an outcome keeps something; after `limit` attempts returns the last drop. */
export async function firstKept<T>(
  { attempts }: Pick<Context<never>, 'attempts'>,
  limit: number,
  body: () => Promise<Outcome<T>>,
): Promise<Outcome<T>> {
  let last: Dropped = drop('no-attempt');
  const kept = await attempts(limit, async () => {
    const outcome = await body();
    if ('kept' in outcome) return outcome;
    last = outcome;
    return undefined;
  });
  return kept ?? last;
}
