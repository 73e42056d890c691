/** Whether two runs of an experiment came to the same end. */
import { differences } from '../../experiments/difference.ts';
import type { View } from '../../experiments/view.ts';

/** What differs between two runs, a line each: keys, counts and digests of every step, metrics, the result. Not how long a step took,
 *  nor whether its result was found done: an attempt after a crash may find it. Where steps are left out, metrics and result are too. */
export function unequal(before: View, after: View, leftOut: readonly string[] = []): string[] {
  const [one, other] = [before, after].map((view) => essence(view, leftOut));
  return differences(one, other);
}

function essence({ state, steps, metrics, result }: View, leftOut: readonly string[]): object {
  const compared = steps.filter(({ path }) => !leftOut.includes(path));
  return {
    state,
    steps: Object.fromEntries(compared.map(({ path, seconds, cached, live, ...step }) => [path, step])),
    ...(leftOut.length === 0 && { metrics, result }),
  };
}
