/** Measures accepted utterances. */
import { dataSuite } from '../../recipe/index.ts';
import { piecesOf, slotsIn, WILDCARD } from './grammar.ts';
import type { Sample } from './records.ts';

/** `samples`: their number. `sources`: the number of utterances whose slots they have; `leastOfSource` and `mostOfSource`: of how many samples.
 *  `words` and `slots`: the mean number of each. `ownValues`: the share of slots whose value the generator chose. */
export const accepted = dataSuite({
  version: 1,
  async measure(rows: AsyncIterable<{ readonly value: Sample }>) {
    const ofSource = new Map<string, number>();
    let [samples, words, slots, wildcards] = [0, 0, 0, 0];
    for await (const { value } of rows) {
      samples++;
      words += value.tokens.length;
      slots += slotsIn(piecesOf(value)).length;
      wildcards += (value.brief?.include ?? []).filter(([, asked]) => asked === WILDCARD).length;
      if (value.brief) ofSource.set(value.brief.source, (ofSource.get(value.brief.source) ?? 0) + 1);
    }
    const counts = [...ofSource.values()];
    const per = (sum: number, count: number) => (count === 0 ? 0 : sum / count);
    return {
      samples,
      sources: counts.length,
      leastOfSource: counts.length === 0 ? 0 : Math.min(...counts),
      mostOfSource: Math.max(0, ...counts),
      words: per(words, samples),
      slots: per(slots, samples),
      ownValues: per(wildcards, slots),
    };
  },
});
