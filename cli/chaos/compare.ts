/** Compares the results of two runs of an experiment. */
import { differences } from '../../experiments/difference.ts';
import type { View } from '../../experiments/view.ts';

/** Returns the differences between two runs, one per line: keys, counts and digests of every step, metrics, the result. Ignores
 *  durations and whether a step was cached, because a retry after a crash may find the result in the store. If steps are left out,
 *  metrics and result are too. */
export function compareViews(before: View, after: View, leftOut: readonly string[] = []): string[] {
  const [one, other] = [before, after].map((view) => comparedFields(view, leftOut));
  return differences(one, other);
}

function comparedFields({ state, steps, metrics, result }: View, leftOut: readonly string[]): object {
  const compared = steps.filter(({ path }) => !leftOut.includes(path));
  return {
    state,
    steps: Object.fromEntries(compared.map(({ path, seconds, cached, live, ...step }) => [path, step])),
    ...(leftOut.length === 0 && { metrics, result }),
  };
}
