import { dataSuite } from '../../recipe/index.ts';
import type { Tidied } from './records.ts';

/** Measures pairs with constraints: their number, the constraints of a pair (those that the annotator named, and those of rules), the share
 *  of pairs with a refined instruction, and the share of pairs of which some reply could not be read. */
export const annotated = dataSuite({
  version: 1,
  async measure(rows: AsyncIterable<{ readonly value: Tidied }>) {
    let [pairs, named, ruled, refined, unread] = [0, 0, 0, 0, 0];
    for await (const { value } of rows) {
      pairs++;
      ruled += value.constraints.filter(({ rule }) => rule !== null).length;
      named += value.constraints.filter(({ rule }) => rule === null).length;
      if (value.refined !== null) refined++;
      if (value.unread.length > 0) unread++;
    }
    const mean = (sum: number) => sum / Math.max(1, pairs);
    return { pairs, named: mean(named), ruled: mean(ruled), refined: mean(refined), unread: mean(unread) };
  },
});
